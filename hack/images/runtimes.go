// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// recipe is what is in the image of a language's runtime.
type recipe struct {
	language string
	// version is the package whose version the image has.
	version string
	// packages are installed with all that they depend on, but leftOut.
	packages []string
	// leftOut are packages that something depends on and nothing here needs.
	leftOut []string
	// dropped are patterns, as of path.Match, of files that are left out; one
	// that ends in a slash stands for all below such a folder.
	dropped []string
	// links are what maintainer scripts would have made, by their names.
	links map[string]string
	// prepare are commands run in the root when all is in it.
	prepare [][]string
	// checks are commands that must succeed in the finished root.
	checks [][]string
}

// The account that processes of a sandbox have unless they ask for another.
const sandboxUser = 1000

const libraries = "usr/lib/x86_64-linux-gnu/"

// What every runtime has: a shell and the tools that agents reach for. No
// package manager of Debian and nothing that needs another user.
var (
	basePackages = []string{
		"base-files", "libc-bin", "bash", "coreutils", "dash", "diffutils", "findutils", "grep", "gzip", "less", "mawk",
		"ncurses-base", "ncurses-bin", "procps", "sed", "tar", "tzdata",
	}
	baseLeftOut = []string{
		// For maintainer scripts, which do not run.
		"adduser", "debconf", "dpkg", "init-system-helpers", "install-info", "passwd", "perl-base", "ucf", "usr-is-merged",
		// For packages of certificates; the image has those of the programs' images.
		"ca-certificates", "openssl",
		"media-types",
	}
	baseDropped = []string{
		// All but the copyright notices, which unpack keeps.
		"usr/share/doc/",
		"usr/share/doc-base/", "usr/share/info/", "usr/share/man/", "usr/share/locale/", "usr/share/lintian/", "usr/share/bug/",
		"usr/share/menu/", "usr/share/applications/", "usr/share/pixmaps/", "usr/share/icons/", "usr/share/bash-completion/",
		"usr/share/zsh/", "usr/share/gdb/", "usr/lib/systemd/", "etc/init.d/", "etc/cron.daily/",
		"usr/share/debconf/", "usr/share/python3/debpython/", "var/cache/", "var/lib/systemd/",
	}
	baseLinks = map[string]string{
		"usr/bin/awk":   "mawk",
		"usr/bin/pager": "less",
		"usr/bin/sh":    "dash",
		"usr/bin/which": "which.debianutils",
	}
	baseChecks = [][]string{
		{"bash", "-ec", "ls -la / | sort | head -n 1 && awk 'BEGIN {exit 0}' && which tar sed find less ps"},
		{"bash", "-ec", `test "$(id -un)" = sandbox && test -w /workspace && test -w /tmp`},
		{"bash", "-ec", "cd /tmp && echo ü > a && tar czf a.tgz a && tar xOzf a.tgz | grep -q ü && rm a a.tgz"},
	}
)

var recipes = map[string]recipe{
	"python": {
		language: "python", version: "python3.11",
		packages: []string{
			"python3", "python-is-python3", "python3-numpy", "python3-pandas", "python3-matplotlib", "python3-pip",
			// Linear algebra that is ten times faster than the default one,
			// in one thread: more would count against the sandbox's limits.
			"libopenblas0-serial",
		},
		leftOut: []string{
			// fonttools can convert fonts of all kinds; matplotlib embeds
			// TrueType fonts and needs none of these for it.
			"python3-brotli", "python3-fs", "python3-lxml", "python3-lz4", "python3-scipy", "python3-sympy",
			"python3-ufolib2", "python3-unicodedata2", "python3-zopfli", "unicode-data",
			// Windows on a screen, and plots in a browser.
			"fontconfig-config", "fonts-lyx", "libjs-jquery", "libjs-jquery-ui", "python3-pil.imagetk", "python3-tk",
		},
		dropped: []string{
			// pip may install for the user; nobody can for all.
			"usr/lib/python3*/EXTERNALLY-MANAGED",
			"usr/lib/python3/dist-packages/matplotlib/backends/_tkagg*", "usr/lib/python3/dist-packages/matplotlib/backends/web_backend/",
			"usr/lib/python3/dist-packages/matplotlib/tests/", "usr/lib/python3/dist-packages/mpl_toolkits/*/tests/",
			"usr/lib/python3/dist-packages/pandas/tests/",
			"usr/lib/python3/dist-packages/numpy/tests/", "usr/lib/python3/dist-packages/numpy/*/tests/",
			"usr/share/matplotlib/sample_data/",
			// A second copy of what is in python3/dist-packages.
			"usr/lib/python3.11/dist-packages/",
		},
		links: map[string]string{
			libraries + "libblas.so.3":     "openblas-serial/libblas.so.3",
			libraries + "liblapack.so.3":   "openblas-serial/liblapack.so.3",
			libraries + "libopenblas.so.0": "openblas-serial/libopenblas.so.0",
		},
		prepare: [][]string{
			// Compiled once here, not at every start on a read-only root. The
			// sources cannot change, so nothing looks whether they did.
			{"python3", "-B", "-m", "compileall", "-f", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash", "-x", "lib2to3/tests|/bad_coding", "/usr/lib/python3.11", "/usr/lib/python3/dist-packages"},
		},
		checks: [][]string{
			{"python", "-c", "import ssl, sqlite3, lzma, bz2, zlib, ctypes, readline, hashlib, decimal, uuid, curses, zoneinfo; zoneinfo.ZoneInfo('Europe/Vienna')"},
			{"python3", "-c", "import numpy as n; a = n.eye(64) * 2; assert abs(n.linalg.inv(a) @ a - n.eye(64)).max() < 1e-12"},
			{"python3", "-c", "import pandas as p, io; assert p.read_csv(io.StringIO('a,b\\n1,2\\n')).b.sum() == 2"},
			{"python3", "-c", "import matplotlib.pyplot as p; p.plot([1, 2]); p.savefig('/tmp/a.png'); p.savefig('/tmp/a.pdf'); p.savefig('/tmp/a.svg')"},
			{"pip", "--version"},
			// Everything is compiled: nothing is left for a start to do.
			{"python3", "-c", "import pandas, importlib.util as u, os; assert os.path.exists(pandas.__cached__)"},
		},
	},
	"nodejs": {
		language: "nodejs", version: "nodejs",
		packages: []string{"nodejs", "npm"},
		leftOut: []string{
			// For building modules in C++, which needs a compiler.
			"gyp", "g++", "gcc", "libnode-dev", "make", "python3",
			// Only for making and testing the packages of npm itself.
			"eslint", "handlebars", "node-babel7", "node-caniuse-lite", "node-core-js", "node-core-js-pure",
			"node-es-abstract", "node-istanbul", "node-jest-debbundle", "node-lodash", "node-lodash-packages",
			"node-postcss", "node-terser", "node-webassemblyjs", "webpack",
		},
		checks: [][]string{
			{"node", "-e", "require('assert').strictEqual([1, 2, 3].map(x => x * 2).join(), '2,4,6')"},
			{"node", "-e", "new Intl.DateTimeFormat('de').format(0); require('crypto').createHash('sha256'); require('zlib').brotliCompressSync('a')"},
			{"bash", "-ec", "mkdir /tmp/a /tmp/b && cd /tmp/a && npm init -y && npm pack && cd ../b && npm install --offline --no-audit ../a/*.tgz && test -e node_modules/a"},
		},
	},
}

// merged is the recipe with what every runtime has.
func (r recipe) merged() recipe {
	r.packages = append(append([]string{}, basePackages...), r.packages...)
	r.leftOut = append(append([]string{}, baseLeftOut...), r.leftOut...)
	r.dropped = append(append([]string{}, baseDropped...), r.dropped...)
	links := map[string]string{}
	for _, part := range []map[string]string{baseLinks, r.links} {
		for name, target := range part {
			links[name] = target
		}
	}
	r.links = links
	r.prepare = append([][]string{{"/sbin/ldconfig", "-X"}}, r.prepare...)
	r.checks = append(append([][]string{}, baseChecks...), r.checks...)
	return r
}
