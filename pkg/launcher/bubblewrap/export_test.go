// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap

// CgroupParents are where the sandboxes of a StateDir have their cgroups.
var CgroupParents = cgroupParents

// Etc is what of the host's /etc is visible inside.
var Etc = etc

// LaidOut says what is done with what is at the host's path.
func LaidOut(host, path string) (done []string) {
	var a arguments
	var files descriptors
	defer files.close()
	a.small(&files, host, path)
	for i, word := range a {
		switch word {
		case "--file":
			done = append(done, "copied to "+a[i+2])
		case "--ro-bind-try":
			done = append(done, "bound to "+a[i+2])
		case "--dir":
			done = append(done, "made "+a[i+1])
		}
	}
	return done
}
