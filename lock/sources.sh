# Where packages come from: sourced by whatever installs some, the Dockerfile's steps and scripts/lib.sh.
# shellcheck shell=sh

# use_sources [VENDOR]: let pip, uv and apt take them from VENDOR/wheels where that is filled, else from
# PACKAGE_INDEX or the public index, through the proxy and by the certificates that are set.
# Sets what is to be said to pip and to uv, which have no variable for it: $packages_from.
use_sources() {
    packages_from=
    if [ -d "${1:-}/wheels" ]; then
        packages_from="--no-index --find-links $1/wheels"
    elif [ -n "${PACKAGE_INDEX:-}" ]; then
        export PIP_INDEX_URL="$PACKAGE_INDEX" UV_DEFAULT_INDEX="$PACKAGE_INDEX"
    fi
    if [ -n "${CA_CERTIFICATES:-}" ]; then
        if [ ! -r "$CA_CERTIFICATES" ]; then
            echo "can't read CA_CERTIFICATES, $CA_CERTIFICATES; set it to a PEM file, or remove the setting" >&2
            return 1
        fi
        # REQUESTS_CA_BUNDLE, where somebody has set it, goes before what is said to pip.
        export PIP_CERT="$CA_CERTIFICATES" SSL_CERT_FILE="$CA_CERTIFICATES" REQUESTS_CA_BUNDLE="$CA_CERTIFICATES"
    fi
    # apt knows only the names in lower case.
    [ -z "${HTTP_PROXY:-}" ] || export http_proxy="$HTTP_PROXY"
    [ -z "${HTTPS_PROXY:-}" ] || export https_proxy="$HTTPS_PROXY"
    [ -z "${NO_PROXY:-}" ] || export no_proxy="$NO_PROXY"
}

# install_environment UV PYTHON NEEDS PACKAGES: install into that Python what a model needs, by the files in NEEDS that
# stack/modes/environment.py writes, and list in the file PACKAGES what that comes to. uv prefers the versions that
# are in its output file already.
install_environment() {
    # shellcheck disable=SC2086 # options
    cp "$3/lock.txt" "$4.part" &&
        "$1" pip compile $packages_from --quiet --python "$2" --no-annotate --no-header --constraints "$3/constraints.txt" \
            --overrides "$3/overrides.txt" --output-file "$4.part" "$3/requirements.txt" &&
        "$1" pip install $packages_from --quiet --python "$2" --compile-bytecode --no-deps --requirements "$4.part" &&
        mv "$4.part" "$4" && return
    [ -z "$packages_from" ] || echo "uv looked in vendor/ only, which holds the packages of the lock" >&2
    return 1
}

# install_aside UV PYTHON LOCK DIRECTORY: put packages that any Python runs into that directory. pyspark is built from its
# source by what the lock has installed for that Python.
install_aside() {
    # shellcheck disable=SC2086 # options
    "$1" pip install $packages_from --quiet --python "$2" --target "$4" --no-deps --no-build-isolation --require-hashes \
        --compile-bytecode --requirements "$3"
}

# From here on only for the Dockerfile's steps, whose /tmp does not last.

# use_image_sources: the same in a step, which mounts vendor/, the addresses and the certificates
use_image_sources() {
    . /sources/addresses.sh
    [ ! -s /run/secrets/ca ] || CA_CERTIFICATES=/run/secrets/ca
    use_sources /vendor
}

# use_mirror [ETC]: let apt take all from DEBIAN_MIRROR, and check it by the certificates that are set
use_mirror() {
    etc=${1:-/etc/apt}
    export APT_CONFIG=/tmp/apt.conf
    : >"$APT_CONFIG"
    [ -z "${CA_CERTIFICATES:-}" ] || echo "Acquire::https::CaInfo \"$CA_CERTIFICATES\";" >>"$APT_CONFIG"
    [ -n "${DEBIAN_MIRROR:-}" ] || return 0
    mkdir /tmp/sources
    for file in "$etc"/sources.list "$etc"/sources.list.d/*; do
        [ ! -f "$file" ] || sed "s#https\{0,1\}://[^/ ]*#${DEBIAN_MIRROR%/}#" "$file" >"/tmp/sources/${file##*/}"
    done
    echo 'Dir::Etc::sourcelist "-"; Dir::Etc::sourceparts "/tmp/sources";' >>"$APT_CONFIG"
}

# install_debian NAME PACKAGE...: from /vendor/debs/NAME where that is filled
install_debian() {
    debs=/vendor/debs/$1
    shift
    if [ -d "$debs" ]; then
        (cd "$debs" && sha256sum --check --quiet SHA256SUMS) || return 1
        apt-get install -y --no-install-recommends -o Dir::State::Lists="$(mktemp -d)" -- "$@" "$debs"/*.deb && return
        echo "apt looked in vendor/ only; if DEBIAN_PACKAGES or the Dockerfile has changed, run ./scripts/vendor again" >&2
        return 1
    else
        use_mirror && apt-get update && apt-get install -y --no-install-recommends -- "$@"
    fi
}

# download_debian NAME PACKAGE...: put all that these need and the image lacks into /debs/NAME
download_debian() {
    debs=/debs/$1
    shift
    mkdir -p "$debs/partial"
    apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$debs" -- "$@" &&
        (cd "$debs" && rm -rf partial lock && sha256sum -- *.deb >SHA256SUMS)
}
