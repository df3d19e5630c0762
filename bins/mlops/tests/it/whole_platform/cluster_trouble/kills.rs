//! SIGKILL at random moments of an install and of a removal, then a run that ends well.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{LIGHT, Site, WHOLE, calm, of_light, of_whole};

const UP: &[&str] = &["up"];
const REMOVE: &[&str] = &["remove", "--yes", "--all-data"];

/// About how long a removal takes.
const REMOVAL: Duration = Duration::from_millis(1500);

#[test]
fn any_kill_at_any_moment_is_survived() {
    let _calm = calm();
    let mut random = StdRng::seed_from_u64(super::super::home::seed());
    let seconds = Duration::from_secs_f32;
    let whole = ("killed-whole", WHOLE, of_whole());
    round(whole, seconds(5.0), 8, &mut random);
    let light = ("killed-light", LIGHT, of_light());
    round(light, seconds(1.5), 17, &mut random);
}

/// Kills so many installs at their work, within about the time that one takes, and some removals between them, then makes
/// the platform whole and takes it away.
fn round(
    (name, content, objects): (&str, &str, Vec<String>),
    install: Duration,
    installs: usize,
    random: &mut StdRng,
) {
    let begun = Instant::now();
    let site = Site::of_admin(name, content);
    let (mut known, mut killed) = (BTreeMap::new(), 0);
    for moment in 0.. {
        if killed == installs {
            break;
        }
        // A few come after the end of the work.
        assert!(
            moment < 4 * installs,
            "only {killed} of {moment} were at work"
        );
        // Every fourth takes away whatever is there.
        let is_removal = moment % 4 == 3;
        let args = if is_removal { REMOVE } else { UP };
        let longest = if is_removal { REMOVAL } else { install };
        let delay = longest.mul_f64(random.random_range(0.02..1.0));
        let begun = Instant::now();
        let mut child = site.start(args);
        while begun.elapsed() < delay && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        match child.try_wait().unwrap() {
            None => killed += usize::from(!is_removal),
            Some(ended) => assert!(ended.success(), "{moment}: {}", site.home.started_log()),
        }
        let is_whole = !is_removal && child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        println!(
            "{name} {moment}: {} ended after {:?}",
            args[0],
            begun.elapsed()
        );
        // A secret that was written stays what it is as long as it is not removed.
        let now = site.secrets();
        if !is_removal {
            assert_kept(&known, &now);
        }
        known = now;
        if is_whole {
            // The next one has something to do again.
            site.run(REMOVE).expect(0);
            known.clear();
        }
    }
    site.run(UP).expect(0);
    assert_kept(&known, &site.secrets());
    site.assert_whole();
    // Nothing is missing, nothing is doubled, and nothing of a probe is left.
    assert_eq!(site.objects(), objects);
    site.remove();
    site.seconds(begun);
}

#[track_caller]
fn assert_kept(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) {
    for (name, text) in before {
        assert_eq!(now.get(name), Some(text), "{name}");
    }
}
