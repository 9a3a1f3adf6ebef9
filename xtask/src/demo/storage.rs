//! The scenes about where libraries lie: the layout of the store, who fetches from it, and what works
//! without it.

use anyhow::{Context, Result};
use gantry_tests::Request;
use gantry_tests::stage::text;

use super::narrator::Narrator;
use super::scenes::{Set, VERSIONS, alice, arch};

impl Set {
    /// Lists the store and asks the gateway where its library came from.
    pub(crate) fn show_storage(&mut self, narrator: &mut Narrator) -> Result<()> {
        narrator.scene("Where it lies");
        let objects = self.stage.control_plane.objects()?;
        for key in &objects {
            narrator.say(&format!("  {key}"));
        }
        for version in VERSIONS {
            let prefix = format!("t/acme/{version}/linux_{}/example-hooks/1.0.0/", arch());
            let suffix = format!("/hooks_{version}_linux_{}.so", arch());
            let found = objects
                .iter()
                .find(|key| key.starts_with(&prefix) && key.ends_with(&suffix));
            narrator.check(
                &format!("the library for {version} lies by gateway version, platform, bundle, version and digest"),
                &found.is_some(),
                &true,
            )?;
        }
        let commit = "t/acme/published/example-hooks/1.0.0.json".to_owned();
        narrator.check(
            "the release document beside them is the commit",
            &objects.contains(&commit),
            &true,
        )?;
        let status = self.gateways[0].status()?;
        let from = text(&status["report"]["artifacts"][0], "fetched_from")?;
        let expected = if self.stage.s3.is_some() {
            "object_storage"
        } else {
            "control_plane"
        };
        narrator.check(
            &format!("gateway-1 says that it fetched its library from: {expected}"),
            &from.as_str(),
            &expected,
        )
    }

    /// Ends the S3 server, if there is one, and starts a gateway without it.
    pub(crate) fn lose_storage(&mut self, narrator: &mut Narrator) -> Result<()> {
        let Some(server) = self.stage.s3.as_mut() else {
            return Ok(());
        };
        narrator.scene("The S3 server is gone");
        server.kill()?;
        narrator.say("Killed it.");
        let gateway = &mut self.gateways[0];
        gateway.restart()?;
        gateway.wait_ready()?;
        let answer = gateway.send(&alice())?;
        narrator.check(
            "gateway-1 starts again from last-known-good and answers",
            &answer.status,
            &200,
        )?;
        narrator.check(
            "with the same build",
            &answer.header("x-gantry-plugin"),
            &"example-hooks 1.1.0 for gateway v5.2.5",
        )?;
        self.stage.s3.as_mut().context("the server")?.restart()?;
        narrator.say("Started it again.");
        let refused = self.gateways[0].send(&Request::get("/orders/latest"))?;
        narrator.check("and Auth is still there", &refused.status, &401)
    }
}
