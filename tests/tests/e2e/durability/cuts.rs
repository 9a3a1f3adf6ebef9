//! A wire that breaks again and again: one push gets through all the same, without being asked twice.

use std::sync::mpsc;

use gantry_tests::Storage;
use gantry_tests::process::Process;
use gantry_tests::relay::{Side, Verdict, Watch};

use super::Numbers;
use super::plan::Plan;
use super::scene::Scene;

/// How often the wire is cut.
const CUTS: u64 = 5;

#[test]
fn push_over_a_wire_that_is_cut_again_and_again_gets_through() {
    let mut scene = Scene::open(Storage::Local).unwrap();
    scene.start(false, true).unwrap();
    let mut plan = Plan::draw(1, 0, Storage::Local);
    plan.sizes = [6_000_000, 3_000_000];
    let bundle = scene.bundle(&plan).unwrap();
    let (say, cut) = mpsc::channel();
    let mut numbers = Numbers(11);
    // Each time anywhere within the next part of all bytes, so that every cut falls within them.
    let mut arm = || {
        let bytes = usize::try_from(20_000 + numbers.below(1_500_000)).unwrap();
        let say = say.clone();
        scene.front.arm(
            cut_after(bytes),
            Box::new(move || {
                let _ = say.send(());
            }),
        );
    };
    arm();
    let arguments = ["push", &bundle.to_string_lossy(), "--output", "json"];
    let log = scene.folder.join("push.log");
    let mut command = scene.admin.command(&arguments).unwrap();
    let mut push = Process::start("gantry push", &mut command, &log).unwrap();
    for number in 1..=CUTS {
        push.wait_until("the wire is cut", || cut.try_recv().ok())
            .unwrap();
        if number < CUTS {
            arm();
        }
    }
    let status = push.wait().unwrap();
    assert!(status.success(), "{}", push.log());
    assert!(scene.is_intact(&plan, &bundle).unwrap());
}

/// Cuts whichever connection brings the byte after so many.
fn cut_after(mut left: usize) -> Watch {
    Box::new(move |_, side, bytes| {
        if side == Side::Server {
            return Verdict::Pass;
        }
        if bytes.len() < left {
            left -= bytes.len();
            return Verdict::Pass;
        }
        Verdict::Spring {
            after: left,
            cut: true,
        }
    })
}
