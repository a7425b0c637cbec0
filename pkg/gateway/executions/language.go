// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"maps"
	"slices"
	"strings"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

// interpreter says how code of a language is run, from a file in a directory of
// its own: its stdin is the user's.
type interpreter struct {
	file string
	// argv comes before the file.
	argv []string
	// stdin is the argument that stands for code from stdin.
	stdin string
	// env is set unless the execution or its sandbox sets it.
	env []sandboxes.EnvVar
	// path is the variable that makes the working directory a place to import
	// from, as it would be if the file lay there.
	path string
}

// nodeMain runs a file as if it lay in the working directory, where modules are
// looked for and errors are said to be.
const nodeMain = `const fs=require("fs"),path=require("path"),Module=require("module");` +
	`const file=process.argv.splice(1,1)[0],name=path.join(process.cwd(),"main.js"),main=new Module(".");` +
	`process.argv.splice(1,0,name);main.filename=name;main.paths=Module._nodeModulePaths(process.cwd());process.mainModule=main;` +
	`main._compile(fs.readFileSync(file,"utf8"),name);main.loaded=true`

var languages = map[string]interpreter{
	"python": {
		file: "main.py", argv: []string{"python3"}, stdin: "-", path: "PYTHONPATH",
		// Output is seen as it comes, pipes or not, and is what JSON can hold.
		env: []sandboxes.EnvVar{{Name: "PYTHONUNBUFFERED", Value: "1"}, {Name: "PYTHONIOENCODING", Value: "utf-8"}},
	},
	"nodejs": {file: "main.js", argv: []string{"node", "-e", nodeMain}, stdin: "-"},
	"bash":   {file: "main.sh", argv: []string{"bash"}, stdin: "-s"},
	"sh":     {file: "main.sh", argv: []string{"sh"}, stdin: "-s"},
	"perl":   {file: "main.pl", argv: []string{"perl"}, stdin: "-", path: "PERL5LIB"},
	"ruby":   {file: "main.rb", argv: []string{"ruby"}, stdin: "-", path: "RUBYLIB"},
}

// aliases are what people call them too.
var aliases = map[string]string{"python3": "python", "node": "nodejs", "javascript": "nodejs", "js": "nodejs", "shell": "sh"}

// interpreterOf finds a language.
func interpreterOf(language string) (interpreter, bool) {
	language = strings.ToLower(language)
	if name, ok := aliases[language]; ok {
		language = name
	}
	i, ok := languages[language]
	return i, ok
}

// languageNames are those that there are.
func languageNames() []string { return slices.Sorted(maps.Keys(languages)) }

// Languages are those whose code can be run.
func Languages() []string { return languageNames() }

// FromStdin is how code of a language is run that comes by stdin, which then has
// nothing else in it.
func FromStdin(language string) (argv []string, ok bool) {
	by, ok := interpreterOf(language)
	if !ok {
		return nil, false
	}
	return []string{by.argv[0], by.stdin}, true
}
