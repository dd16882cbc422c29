# Sourced by ./start and ./test: a Python environment in .venv with exactly what a lock names.
# Sets nothing but functions; `here` is the root of the checkout.

say() { printf '%s\n' "$*" >&2; }

# The newest suitable Python on this machine, or an explanation of how to get one.
find_python() {
    for name in python3.13 python3.12 python3.11 python3 python; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return 0
        fi
    done
    say "haoya needs Python 3.11 or newer and found none."
    say "  Debian, Ubuntu:  sudo apt install python3 python3-venv"
    say "  Fedora:          sudo dnf install python3"
    say "  macOS:           brew install python"
    say "haoya 需要 Python 3.11 或更新版本，请先按上面的命令安装。"
    return 1
}

# uv, put into .tools by whatever this Python brings: venv, or pip alone.
ensure_uv() {
    [ -x "$here/.tools/bin/uv" ] && return 0
    say "Installing uv into .tools …"
    lock="$here/requirements/uv.txt"
    if "$1" -m venv "$here/.tools" >/dev/null 2>&1; then
        "$here/.tools/bin/python" -m pip install --quiet --disable-pip-version-check \
            --require-hashes -r "$lock"
    elif "$1" -m pip --version >/dev/null 2>&1; then
        "$1" -m pip install --quiet --disable-pip-version-check --require-hashes \
            --target "$here/.tools/lib" -r "$lock"
        mkdir -p "$here/.tools/bin"
        ln -sf ../lib/bin/uv "$here/.tools/bin/uv"
    else
        rm -rf "$here/.tools"
        say "This Python has neither venv nor pip. On Debian or Ubuntu:"
        say "  sudo apt install python3-venv"
        return 1
    fi
}

# ensure_environment NAME: .venv holds requirements/NAME.txt and haoya itself. Does nothing,
# and needs no network, when neither the locks nor the place have changed.
ensure_environment() {
    stamp="$here/.venv/.stamp-$1"
    wanted="$here $(cat "$here/requirements/$1.txt" "$here/requirements/build.txt" \
        "$here/pyproject.toml" | cksum)"
    if [ -x "$here/.venv/bin/haoya" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return 0
    fi
    python="$(find_python)" || return 1
    mkdir -p "$here/.tools"
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$here/.tools.lock"
        flock 9 # another ./start or ./test may be at it
    fi
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        exec 9>&-
        return 0
    fi
    ensure_uv "$python" || return 1
    uv="$here/.tools/bin/uv"
    say "Setting up .venv ($1) …"
    if ! "$here/.venv/bin/python" -c '' 2>/dev/null; then
        "$uv" venv --quiet --clear --python "$python" "$here/.venv" || return 1
    fi
    # Our own environment is meant, whatever one this shell is in.
    unset VIRTUAL_ENV CONDA_PREFIX
    "$uv" pip install --quiet --python "$here/.venv" --require-hashes \
        -r "$here/requirements/$1.txt" || return 1
    "$uv" pip install --quiet --python "$here/.venv" --no-deps \
        --build-constraint "$here/requirements/build.txt" -e "$here" || return 1
    printf '%s\n' "$wanted" >"$stamp"
    exec 9>&-
}
