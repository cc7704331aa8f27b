#!/usr/bin/env bash
# Builds the npm package, installs its tarball into an empty project under target/node-test, and runs all tests there:
# abstract-level's own suite, ours, the types, and the examples.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
project=$root/target/node-test
unset NODE_PATH NODE_OPTIONS

node -e 'if (Number(process.versions.node.split(".")[0]) < 20) { console.error("Node 20 or newer is needed"); process.exit(1) }'

node scripts/build.js
rm -rf "$project"
mkdir -p "$project"
npm pack --silent --pack-destination "$project" >/dev/null
tarball=$(echo "$project"/aidb-*.tgz)

# From here Node must find nothing of the checkout except the tarball.
cd "$project"
cp "$root"/bindings/node/.npmrc .
cat >package.json <<'JSON'
{ "name": "aidb-node-test", "version": "0.0.0", "private": true }
JSON
# The committed lock file has the versions of the development tools.
tools=$(node -p '
  const { packages } = require(process.argv[1])
  const { devDependencies } = packages[""]
  Object.keys(devDependencies).map((name) => name + "@" + packages["node_modules/" + name].version).join(" ")
' "$root/bindings/node/package-lock.json")
# shellcheck disable=SC2086
npm install --loglevel=error --no-fund --no-audit "$tarball" $tools
cp -r "$root"/bindings/node/test "$root"/examples/node .
cp "$root"/tests/data/edges.txt test/

node test/abstract.js >abstract.tap || { grep -A20 '^not ok' abstract.tap; exit 1; }
tail -n 5 abstract.tap
node --test --test-reporter=spec test/*.test.js test/*.test.mjs
npx tsc --noEmit -p test/tsconfig.json
node node/hello.js
node node/queue.js
echo "Node: all tests passed"
