//! Between the tool and the API server things go wrong.

use std::time::Instant;

use mlops_testkit::kubernetes::Fault;

use super::{Site, WHOLE, calm, node, of_whole};

#[test]
fn a_third_of_all_requests_meet_trouble_and_the_end_is_the_same() {
    let _calm = calm();
    let proxy = node().fault_proxy(30, 5);
    let site = Site::new("faulty", &proxy.kubeconfig(), WHOLE);
    let begun = Instant::now();
    let said = site.run(&["up"]).expect(0);
    assert!(said.out.contains("is up"), "{}", said.out);
    let there = site.objects();
    let secrets = site.secrets();
    site.run(&["plan", "--exit-code"]).expect(0);
    site.run(&["logs", "s3", "--lines", "5"]).expect(0);

    // Through no proxy the same is found, whole.
    let direct = std::fs::read_to_string(node().kubeconfig()).unwrap();
    site.write("kubeconfig", &direct);
    site.assert_whole();
    assert_eq!(site.objects(), there);
    assert_eq!(site.secrets(), secrets);
    assert_eq!(there, of_whole());

    site.write("kubeconfig", &proxy.kubeconfig());
    site.run(&["down"]).expect(0);
    site.remove();
    let met = proxy.met();
    println!("faulty: {met:?}");
    for fault in [
        Fault::Reset,
        Fault::Lost,
        Fault::TooMany,
        Fault::Internal,
        Fault::Unavailable,
        Fault::Late,
        Fault::Half,
    ] {
        assert!(met.contains_key(&fault), "{fault:?} never came: {met:?}");
    }
    // Watches are few: which of the two they meet is a matter of luck.
    let of_watches = [Fault::WatchClosed, Fault::Gone];
    let is_met = |fault: &Fault| met.contains_key(fault);
    assert!(of_watches.iter().any(is_met), "{met:?}");
    site.seconds(begun);
}
