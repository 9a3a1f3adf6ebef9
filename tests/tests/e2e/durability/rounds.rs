//! Rounds of pushes in which somebody is killed with SIGKILL: client, control plane or S3 server, at a
//! point that a seed chooses. After each: what was acknowledged is intact, what was not is absent or
//! complete, pushing it again succeeds, and the sweeper leaves nothing behind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use gantry_tests::Storage;
use gantry_tests::process::{PATIENCE, Process, signal};
use gantry_tests::relay::Trap;
use serde_json::Value;

use super::plan::{Plan, Point, Victim};
use super::say;
use super::scene::Scene;
use super::traps::{self, Lookout, Request};

/// Rounds unless `GANTRY_ROUNDS` says otherwise.
const ROUNDS: u64 = 50;
/// Rounds that each point must have had.
const HITS_MIN: u64 = 3;
/// In so many rounds; fewer have fewer.
const HITS_ROUNDS_MIN: u64 = 50;

#[test]
fn local_pushes_survive_the_death_of_anybody() {
    play(Storage::Local);
}

#[test]
fn s3_pushes_survive_the_death_of_anybody() {
    play(Storage::S3sFs);
}

/// What came of the rounds.
#[derive(Debug, Default)]
struct Score {
    points: BTreeMap<Point, u64>,
    victims: BTreeMap<Victim, u64>,
    acknowledged: u64,
    /// Unacknowledged and there.
    complete: u64,
    /// Unacknowledged and not there.
    absent: u64,
    /// Not there, and not pushed again: the sweeper takes what it left.
    abandoned: u64,
    /// Second pushes that did not begin anew.
    resumed: u64,
}

fn play(storage: Storage) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = number("GANTRY_SEED").unwrap_or_else(|| u64::from(now.unwrap().subsec_nanos()));
    let rounds: u64 = number("GANTRY_ROUNDS").unwrap_or(ROUNDS);
    say(format_args!(
        "{rounds} rounds on {storage}: GANTRY_SEED={seed} GANTRY_ROUNDS={rounds} repeats them"
    ));
    let mut scene = Scene::open(storage).unwrap();
    let mut score = Score::default();
    for round in 0..rounds {
        let plan = Plan::draw(seed, round, storage);
        if let Err(error) = play_round(&mut scene, &plan, &mut score) {
            panic!("seed {seed}, {plan}: {error:?}\n{}", scene.log());
        }
    }
    scene.start(false, false).unwrap();
    scene.converge().unwrap();
    say(format_args!("{storage}, seed {seed}: {score:?}"));
    for point in Point::ALL {
        let hits = score.points.get(&point).copied().unwrap_or_default();
        let min = if rounds < HITS_ROUNDS_MIN {
            0
        } else {
            HITS_MIN
        };
        assert!(
            hits >= min,
            "{hits} deaths {point}; expected at least {min}"
        );
    }
    assert!(
        rounds < HITS_ROUNDS_MIN || score.resumed > 0,
        "no second push went on from where the first was"
    );
}

fn play_round(scene: &mut Scene, plan: &Plan, score: &mut Score) -> Result<()> {
    let version = plan.version();
    let bundle = scene.bundle(plan)?;
    let traced = plan.storage == Storage::Local
        && matches!(plan.point, Point::BeforeCommit | Point::BeforeRow);
    // Its start drops what the round before left.
    scene.start(traced, false)?;
    scene.converge().context("after the round before")?;
    let client = Arc::new(OnceLock::new());
    let (sprung, trap) = trap(scene, plan, client.clone());
    let lookout = set(scene, plan, trap);
    let arguments = ["push", &bundle.to_string_lossy(), "--output", "json"];
    let log = scene.folder.join(format!("push-{version}.log"));
    let mut push = Process::start("gantry push", &mut scene.admin.command(&arguments)?, &log)?;
    client.get_or_init(|| push.id());
    let waited = await_trap(&sprung, &mut push);
    drop(lookout);
    waited?;
    let point = bury(scene, plan, &mut push)?;
    scene.front.disarm();
    let goes_on = match plan.victim {
        Victim::Client => false,
        Victim::ControlPlane => plan.client_goes_on,
        Victim::S3Server => true,
    };
    if goes_on {
        let status = push.wait()?;
        ensure!(
            status.success(),
            "the client did not finish by itself: {}",
            push.log()
        );
    }
    if let Some(back) = &scene.back {
        back.disarm();
    }
    let there = scene.is_intact(plan, &bundle)?;
    ensure!(there || !goes_on, "an acknowledged version is not there");
    *score.points.entry(point).or_default() += 1;
    *score.victims.entry(plan.victim).or_default() += 1;
    score.acknowledged += u64::from(goes_on);
    score.complete += u64::from(!goes_on && there);
    score.absent += u64::from(!goes_on && !there);
    // While the control plane lives it may be publishing still.
    if plan.abandoned && !there && plan.victim == Victim::ControlPlane {
        score.abandoned += 1;
        return Ok(());
    }
    let again: Value = scene.admin.push(&bundle).context("push again")?;
    ensure!(
        there || scene.is_intact(plan, &bundle)?,
        "a version that was pushed again is not there"
    );
    scene.expect(&version, &again["release"])?;

    let whole: u64 = plan.sizes.iter().sum();
    let sent = again["sent_bytes"].as_u64().context("sent_bytes")?;
    score.resumed += u64::from(!there && sent < whole);
    Ok(())
}

/// What kills the victim and says so.
fn trap(scene: &Scene, plan: &Plan, client: Arc<OnceLock<u32>>) -> (Receiver<()>, Trap) {
    let (say, sprung) = mpsc::channel();
    let victim = match (plan.victim, &scene.s3) {
        (Victim::S3Server, Some(s3)) => Some(s3.id()),
        (Victim::Client, _) => None,
        _ => Some(scene.control_plane.id()),
    };
    let trap = Box::new(move || {
        let killed = signal(victim.unwrap_or_else(|| *client.wait()), "KILL");
        // Nobody listens any more where the round has failed already.
        let _ = killed.is_ok() && say.send(()).is_ok();
    });
    (sprung, trap)
}

/// Sets the trap where the plan wants it.
fn set(scene: &Scene, plan: &Plan, trap: Trap) -> Option<Lookout> {
    let version = plan.version();
    let mut numbers = plan.numbers.clone();
    let whole: u64 = plan.sizes.iter().sum();
    // Who dies gets no answer; the others do.
    let cut = plan.victim != Victim::Client;
    let committed = Arc::new(AtomicBool::new(false));
    let Some(back) = &scene.back else {
        let commit_object = scene.commit_object(&version);
        match (plan.point, plan.step) {
            (Point::WithinPart, _) => {
                let bytes = usize::try_from(4096 + numbers.below(whole)).unwrap_or(4096);
                scene.front.arm(traps::after_bytes(bytes), trap);
            }
            (Point::BeforeCommit, 0) => scene.front.arm(traps::after_publish_request(), trap),
            (Point::BeforeCommit, step) => {
                let files = usize::try_from(step).unwrap_or(1);
                let moved = traps::has_entries(scene.artifacts(&version), files);
                return Some(Lookout::post(moved, trap));
            }
            (Point::BeforeRow, _) => {
                return Some(Lookout::post(move || commit_object.exists(), trap));
            }
            (Point::BeforeAnswer, _) => {
                let watch = traps::before_answer(move || commit_object.exists(), cut);
                scene.front.arm(watch, trap);
            }
        }
        return None;
    };
    match (plan.point, plan.step) {
        (Point::WithinPart, _) => {
            let part = usize::try_from(1 + numbers.below(2)).unwrap_or(1);
            back.arm(traps::at_request(Request::Part(part), cut, numbers), trap);
        }
        (Point::BeforeCommit, step) => {
            let copy = usize::try_from(1 + numbers.below(2)).unwrap_or(1);
            let requests = [Request::Complete, Request::Copy(copy), Request::Commit];
            let request = requests[usize::try_from(step % 3).unwrap_or(0)];
            back.arm(traps::at_request(request, cut, numbers), trap);
        }
        (Point::BeforeRow, _) => back.arm(traps::at_commit_answer(Some(cut), committed), trap),
        (Point::BeforeAnswer, _) => {
            back.arm(
                traps::at_commit_answer(None, committed.clone()),
                Box::new(|| ()),
            );
            let cut = plan.victim != Victim::S3Server;
            let watch = traps::before_answer(move || committed.load(Ordering::SeqCst), cut);
            scene.front.arm(watch, trap);
        }
    }
    None
}

fn await_trap(sprung: &Receiver<()>, push: &mut Process) -> Result<()> {
    let deadline = SystemTime::now() + PATIENCE;
    while SystemTime::now() < deadline {
        if sprung.recv_timeout(Duration::from_millis(5)).is_ok() {
            return Ok(());
        }
        if let Some(status) = push.try_wait()? {
            // It may be the victim, and its death be heard of before its killer says so.
            if sprung.recv_timeout(Duration::from_secs(5)).is_ok() {
                return Ok(());
            }
            bail!("the push ended ({status}) and nobody died: {}", push.log());
        }
    }
    bail!("nobody died: {}", push.log())
}

/// Sees where the victim died, and brings it back unless it is the client.
fn bury(scene: &mut Scene, plan: &Plan, push: &mut Process) -> Result<Point> {
    let version = plan.version();
    match plan.victim {
        Victim::Client => {
            push.wait()?;
            Ok(plan.point)
        }
        Victim::S3Server => {
            let s3 = scene.s3.as_mut().context("an S3 server to bring back")?;
            s3.restart()?;
            Ok(plan.point)
        }
        Victim::ControlPlane => {
            scene.control_plane.kill()?;
            if !plan.client_goes_on {
                push.kill()?;
            }
            let committed = scene.is_committed(&version)?;
            let rows = scene.rows(&version)?;
            ensure!(committed || !rows.released, "a row without a commit object");
            scene.start(false, true)?;
            let whole = scene.rows(&version)?;
            ensure!(
                whole.released == committed || plan.client_goes_on,
                "the start did not roll forward"
            );
            Ok(match (committed, rows.released) {
                (false, _) if plan.point == Point::WithinPart => Point::WithinPart,
                (false, _) => Point::BeforeCommit,
                (true, false) => Point::BeforeRow,
                (true, true) => Point::BeforeAnswer,
            })
        }
    }
}
