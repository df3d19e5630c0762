# A small Debian in the folder $1, from the mirror that this machine uses, without what only people need.
set -eu
root=$1
. /etc/os-release
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
  awk -v suite="$VERSION_CODENAME" '$2 == suite && $3 == "main" { print $1; exit }')
debootstrap --variant=minbase --include=python3,libgomp1,postgresql,ca-certificates "$VERSION_CODENAME" "$root" "$mirror"
cd "$root"
# Compiling queries needs a hundred megabytes of compiler, and is switched off.
rm -rf usr/lib/*/libLLVM* usr/lib/llvm* usr/lib/postgresql/*/lib/llvmjit.so usr/lib/postgresql/*/lib/bitcode
rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/info usr/share/i18n usr/share/lintian
rm -rf var/cache/apt/* var/lib/apt/lists/* var/log/* dev/* tmp/*
chmod 1777 tmp
