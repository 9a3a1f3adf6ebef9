#!/usr/bin/env bash
# Builds a plugin for every gateway version and platform, publishes it, deploys it, and waits until the
# gateways serve it. Runs in any CI; run again, it changes nothing and waits again.
#
# Needs gantry, python3, and what `gantry build` names for the plugin's language. Variables:
#   GANTRY_ENDPOINT, GANTRY_TOKEN   the control plane, and a token with the rights publish and deploy
#   GANTRY_ENVIRONMENT              where to deploy; publishes only when empty
#   BUILD_ONLY                      builds and checks, and publishes nothing, when not empty
#   PLUGIN                          folder of the source and its manifest.json; the current one when empty
#   VERSION                         of the bundle; the manifest's own when empty
#   GATEWAY_VERSIONS                such as "v5.3.0 v5.4.0"; one build for any when empty
#   TARGETS                         such as "linux/amd64 linux/arm64"; this machine's when empty
#   WAIT_TIMEOUT                    seconds for the gateways; 300 when empty
#   SUMMARY                         file that the summary (Markdown) is added to; standard output when empty
#
# Exits as gantry does: 1 the build failed, 3 source, manifest or library is refused, 4 a toolchain or the environment is missing,
# 5 the token is not valid or lacks a right, 6 a limit is reached, 7 a gateway cannot or does not serve the
# version, 8 some did not in time or the control plane did not answer, 64 a variable or the manifest is wrong.
set -euo pipefail

plugin="${PLUGIN:-.}"
if [ ! -f "$plugin/manifest.json" ]; then
  echo "deliver: $plugin/manifest.json is missing; PLUGIN names the folder that has it" >&2
  exit 64
fi
# Known now: when all is served it would be too late.
if [ -n "${SUMMARY:-}" ] && ! : 2> /dev/null >> "$SUMMARY"; then
  echo "deliver: SUMMARY names $SUMMARY, which cannot be written" >&2
  exit 64
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir "$work/bundle"

# Runs a command with its data going to a file; what it tells people is shown at once, and kept for the
# summary.
step() {
  local data="$1"
  shift
  { "$@" 2>&1 >&3 3>&- | tee "$work/said" >&2; } 3> "$data"
}

# Makes a bundle of what was built: the manifest is the author's, the files are those that are there.
bundle() {
  python3 - "$plugin/manifest.json" "$work" "${VERSION:-}" <<'PYTHON'
import json, os, sys
manifest_path, work, version = sys.argv[1:]
try:
    with open(manifest_path) as file:
        manifest = json.load(file)
except ValueError as error:
    sys.exit(f"deliver: {manifest_path}: expected JSON: {error}")
if not isinstance(manifest, dict):
    sys.exit(f"deliver: {manifest_path}: expected an object, found {type(manifest).__name__}")
with open(f"{work}/built.json") as file:
    built = json.load(file)
files = sorted(os.path.basename(library["path"]) for library in built)
listed = manifest.get("file_list") or []
for name in listed if isinstance(listed, list) else []:
    plain = str(name).rsplit("/", 1)[-1].removesuffix(".so")
    if not any(file == f"{plain}.so" or file.startswith(f"{plain}_") for file in files):
        print(f"deliver: file_list names {name}, which this did not build: left out", file=sys.stderr)
manifest["file_list"] = files
if version:
    manifest["version"] = version
with open(f"{work}/bundle/manifest.json", "w") as file:
    json.dump(manifest, file, indent=2)
PYTHON
}

summary() {
  python3 - "$work" "$plugin/manifest.json" "$1" "$2" <<'PYTHON'
import json, sys
work, manifest_path, doing, status = sys.argv[1:]

def read(path, otherwise):
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, json.JSONDecodeError):
        return otherwise

def row(*cells):
    return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |"

manifest = read(f"{work}/bundle/manifest.json", read(manifest_path, {}))
if not isinstance(manifest, dict):
    manifest = {}
built, pushed = read(f"{work}/built.json", []), read(f"{work}/pushed.json", {})
name = "{}@{}".format(manifest.get("name", "the plugin"), manifest.get("version", "?"))
print(f"### {name}: {doing if status == '0' else f'not {doing} (exit code {status})'}\n")
if built:
    print("| file | target | gateway | glibc | sha256 |\n|---|---|---|---|---|")
for library in built:
    print(row(library["path"].rsplit("/", 1)[-1], library["target"], library["gateway_version"] or "any",
              library["glibc"] or "-", library["sha256"][:12]))
gateways = (pushed.get("deployment") or {}).get("gateways") or []
if gateways:
    print("\n| gateway | version | state | revision | why |\n|---|---|---|---|---|")
for gateway in gateways:
    why = "; ".join("{subject}: {message}".format(**reason) for reason in gateway["reasons"])
    print(row(gateway["gateway"], gateway["version"], gateway["state"], gateway["revision"], why))
if status != "0":
    with open(f"{work}/said") as file:
        print("\n~~~text\n" + "".join(file.readlines()[-20:]).rstrip() + "\n~~~")
PYTHON
}

build=(gantry build "$plugin" --out "$work/bundle")
for version in ${GATEWAY_VERSIONS:-}; do build+=(--gateway-version "$version"); done
for target in ${TARGETS:-}; do build+=(--target "$target"); done
push=(gantry push "$work/bundle")
if [ -n "${BUILD_ONLY:-}" ]; then
  doing=built push=(gantry bundle inspect "$work/bundle")
elif [ -n "${GANTRY_ENVIRONMENT:-}" ]; then
  doing=delivered push+=(--deploy "$GANTRY_ENVIRONMENT" --wait --wait-timeout "${WAIT_TIMEOUT:-300}")
else
  doing=published
fi

status=0
step "$work/built.json" "${build[@]}" --output json || status=$?
[ "$status" != 0 ] || bundle || status=64
[ "$status" != 0 ] || step "$work/pushed.json" "${push[@]}" --output json || status=$?
if [ -n "${SUMMARY:-}" ]; then
  exec >> "$SUMMARY"
fi
summary "$doing" "$status"
exit "$status"
