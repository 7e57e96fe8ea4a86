#!/usr/bin/env bash
# Does what somebody does who has no checkout: installs the wheel, makes a project, loads the bundled sandbox.
#
#   .github/fresh_install.sh PYTHON lowest|locked|newest dist/mode_dagster-*.whl
#
# lowest: of each dependency in pyproject.toml the lowest version that its bound allows and that has a wheel;
# locked: requirements.lock; newest: what `pip install` takes today. Needs uv and make.
set -euo pipefail
python=$1
versions=$2
wheel=$(realpath "$3")
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

requirements=$folder/requirements.txt
resolve() {
  uv pip compile --quiet --python "$python" --only-binary :all: --resolution "$1" pyproject.toml -o "$requirements"
}
case $versions in
  lowest) resolve lowest-direct ;;
  newest) resolve highest ;;
  locked) requirements=requirements.lock ;;
  *) echo "not lowest, locked or newest: $versions" >&2; exit 2 ;;
esac

uv venv --quiet --python "$python" "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" --no-deps --only-binary :all: -r "$requirements"
uv pip install --quiet --python "$folder/venv/bin/python" --no-deps "$wheel"
uv pip check --python "$folder/venv/bin/python"

export PATH=$folder/venv/bin:$PATH
python --version
cd "$folder"
mode-dagster init project
cd project
dagster definitions validate
make sync
