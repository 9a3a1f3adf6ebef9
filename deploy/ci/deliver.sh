#!/usr/bin/env bash
# Builds a plugin for every gateway version and platform, publishes it, deploys it, and waits until the
# gateways serve it. Runs in any CI; run again, it changes nothing and waits again.
#
# Needs gantry, python3, and what `gantry build` names for the plugin's language. Variables:
#   GANTRY_ENDPOINT, GANTRY_TOKEN   the control plane, and a token with the rights publish and deploy
#   GANTRY_ENVIRONMENT              where to deploy; publishes only when empty
#   PLUGIN                          folder of the source and its manifest.json; the current one when empty
#   VERSION                         of the bundle; the manifest's own when empty
#   GATEWAY_VERSIONS                such as "v5.3.0 v5.4.0"; one build for any when empty
#   TARGETS                         such as "linux/amd64 linux/arm64"; this machine's when empty
#   WAIT_TIMEOUT                    seconds for the gateways; 300 when empty
#   SUMMARY                         file that the summary (Markdown) is added to; none when empty
#
# Exits as gantry does: 1 the build failed, 3 a library is refused, 7 a gateway cannot or does not serve
# the version, 8 some did not in time.
set -euo pipefail

plugin="${PLUGIN:-.}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

build=()
for version in ${GATEWAY_VERSIONS:-}; do build+=(--gateway-version "$version"); done
for target in ${TARGETS:-}; do build+=(--target "$target"); done
mkdir "$work/bundle"
gantry build "$plugin" "${build[@]}" --out "$work/bundle" --output json > "$work/built.json"

# The manifest is the author's; the files are those that were built.
python3 - "$plugin/manifest.json" "$work" "${VERSION:-}" <<'PYTHON'
import json, os, sys
manifest_path, work, version = sys.argv[1:]
with open(manifest_path) as file:
    manifest = json.load(file)
with open(f"{work}/built.json") as file:
    built = json.load(file)
manifest["file_list"] = sorted(os.path.basename(library["path"]) for library in built)
if version:
    manifest["version"] = version
with open(f"{work}/bundle/manifest.json", "w") as file:
    json.dump(manifest, file, indent=2)
PYTHON

push=()
if [ -n "${GANTRY_ENVIRONMENT:-}" ]; then
  push+=(--deploy "$GANTRY_ENVIRONMENT" --wait --wait-timeout "${WAIT_TIMEOUT:-300}")
fi
status=0
gantry push "$work/bundle" "${push[@]}" --output json > "$work/pushed.json" || status=$?

python3 - "$work" "$status" >> "${SUMMARY:-/dev/stdout}" <<'PYTHON'
import json, sys
work, status = sys.argv[1:]
with open(f"{work}/built.json") as file:
    built = json.load(file)
try:
    with open(f"{work}/pushed.json") as file:
        pushed = json.load(file)
except json.JSONDecodeError:
    pushed = None
name = "the plugin"
if pushed:
    name = "{bundle}@{version}".format(**pushed["release"])
print(f"### {name}: {'delivered' if status == '0' else f'not delivered (exit code {status})'}\n")
print("| file | target | gateway | glibc | sha256 |\n|---|---|---|---|---|")
for library in built:
    row = [library["path"].rsplit("/", 1)[-1], library["target"], library["gateway_version"] or "any",
           library["glibc"] or "-", library["sha256"][:12]]
    print("| " + " | ".join(row) + " |")
gateways = ((pushed or {}).get("deployment") or {}).get("gateways") or []
if gateways:
    print("\n| gateway | version | state | revision | why |\n|---|---|---|---|---|")
for gateway in gateways:
    why = "; ".join("{subject}: {message}".format(**reason) for reason in gateway["reasons"])
    row = [gateway["gateway"], gateway["version"], gateway["state"], str(gateway["revision"]), why]
    print("| " + " | ".join(row) + " |")
PYTHON
exit "$status"
