//! SIGKILL at random moments of an install and of a removal, then a run that ends well.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::home::kill;
use super::{LIGHT, Site, WHOLE, calm, of_light, of_whole};

const UP: &[&str] = &["up"];
const REMOVE: &[&str] = &["remove", "--yes", "--all-data"];

#[test]
fn any_kill_at_any_moment_is_survived() {
    let _calm = calm();
    let seed: u64 = option_env!("MLOPS_TEST_SEED")
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| rand::rng().random());
    println!("seed {seed}: replay with MLOPS_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let whole = round(("killed-whole", WHOLE, of_whole()), 8, &mut random);
    let light = round(("killed-light", LIGHT, of_light()), 21, &mut random);
    // A few may have come after the end of the work.
    assert!(whole + light >= 25, "{whole} and {light}");
}

/// Kills so many runs, then makes the platform whole and takes it away. Returns how many were at work.
fn round(
    (name, content, objects): (&str, &str, Vec<String>),
    kills: usize,
    random: &mut StdRng,
) -> usize {
    let begun = Instant::now();
    let site = Site::of_admin(name, content);
    // How long an install and a removal take, as far as that is known.
    let mut longest = [Duration::from_secs(4), Duration::from_secs(2)];
    let mut known = BTreeMap::new();
    let mut killed = 0;
    for moment in 0..kills {
        // Every fifth takes away whatever is there.
        let is_removal = moment % 5 == 4;
        let args = if is_removal { REMOVE } else { UP };
        let longest = &mut longest[usize::from(is_removal)];
        let delay = longest.mul_f64(random.random_range(0.02..1.0));
        let begun = Instant::now();
        let mut child = site.start(args);
        while begun.elapsed() < delay && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        match child.try_wait().unwrap() {
            None => killed += 1,
            Some(ended) => {
                assert!(ended.success(), "{moment}: {}", site.home.started_log());
                *longest = begun.elapsed();
            }
        }
        kill(child.id());
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
    }
    site.run(UP).expect(0);
    assert_kept(&known, &site.secrets());
    site.assert_whole();
    // Nothing is missing, nothing is doubled, and nothing of a probe is left.
    assert_eq!(site.objects(), objects);
    site.remove();
    site.seconds(begun);
    killed
}

#[track_caller]
fn assert_kept(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) {
    for (name, text) in before {
        assert_eq!(now.get(name), Some(text), "{name}");
    }
}
