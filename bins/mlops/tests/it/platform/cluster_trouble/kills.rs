//! SIGKILL at random moments of an install and of a removal, then a run that ends well.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::home::kill;
use super::{LIGHT, Site, WHOLE, calm};

/// Kills for each round.
const ROUNDS: [(&str, &str, usize); 3] = [
    ("killed-whole", WHOLE, 9),
    ("killed-light", LIGHT, 9),
    ("killed-light", LIGHT, 9),
];

#[test]
fn any_kill_at_any_moment_is_survived() {
    let _calm = calm();
    let seed: u64 = option_env!("MLOPS_TEST_SEED")
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| rand::rng().random());
    println!("seed {seed}: replay with MLOPS_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let begun = Instant::now();
    let mut killed = 0;
    for (name, content, kills) in ROUNDS {
        let site = Site::of_admin(name, content);
        // How long the work takes when nothing ends it, as far as that is known.
        let mut longest = Duration::from_millis(2500);
        let mut known = std::collections::BTreeMap::new();
        for moment in 0..kills {
            // Every third is the end of a removal that was begun on whatever is there.
            let args: &[&str] = if moment % 3 == 2 {
                &["remove", "--yes", "--all-data"]
            } else {
                &["up"]
            };
            let begun = Instant::now();
            let mut child = site.start(args);
            let delay = longest.mul_f64(random.random_range(0.0..1.0));
            std::thread::sleep(delay);
            let is_running = child.try_wait().unwrap().is_none();
            kill(child.id());
            child.wait().unwrap();
            println!("{name} {moment}: {args:?} killed after {delay:?}, at work: {is_running}");
            if is_running {
                killed += 1;
            } else {
                longest = begun.elapsed();
            }
            // A secret that was written stays what it is as long as it is not removed.
            let now = site.secrets();
            if args == ["up"] {
                for (name, text) in &known {
                    assert_eq!(now.get(name), Some(text), "seed {seed}: {name}");
                }
            }
            known = now;
        }
        let said = site.run(&["up"]);
        assert_eq!(said.code, 0, "seed {seed}: {}\n{}", said.out, said.err);
        let now = site.secrets();
        for (name, text) in &known {
            assert_eq!(now.get(name), Some(text), "seed {seed}: {name}");
        }
        site.assert_whole();
        let objects = site.objects();
        let mut single = objects.clone();
        single.dedup();
        assert_eq!(objects, single, "seed {seed}");
        // Of a run that was killed nothing keeps the next from the Lease for ever, and nothing of a probe is left.
        assert!(
            !objects.iter().any(|name| name.contains("probe")),
            "{objects:?}"
        );
        site.remove();
        site.seconds(begun);
    }
    // A few may have come after the end of the work.
    assert!(killed >= 20, "{killed}");
}
