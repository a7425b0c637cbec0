// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const smaps = `00400000-02a52000 r-xp 00000000 fe:00 1042 /bin/it
Rss:               25552 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
02a52000-05a17000 r--p 02652000 fe:00 1042 /bin/it
Rss:               37688 kB
Anonymous:             0 kB
05a17000-05b43000 r--p 05617000 fe:00 1042 /bin/it
Rss:                 816 kB
Anonymous:             4 kB
05b43000-05c00000 rw-p 05743000 fe:00 1042 /bin/it
Anonymous:             0 kB
05c00000-05d00000 r--s 00000000 fe:00 1043 /data/store.db
Anonymous:             0 kB
05d00000-05e00000 r--p 00000000 fe:00 1044 /lib/ld.so
Anonymous:             0 kB
7fff0000-7fff1000 r-xp 00000000 00:00 0    [vdso]
Anonymous:             0 kB
7fff1000-7fff2000 r--p 00000000 00:00 0
Anonymous:             0 kB
`

func TestOnlyWhatTheFileHasAllOfIsDropped(t *testing.T) {
	t.Parallel()
	want := []span{{0x400000, 0x2a52000}, {0x2a52000, 0x5a17000}}
	if got := untouched(strings.NewReader(smaps), "/bin/it"); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestAProgramThatWasDroppedGoesOn(t *testing.T) {
	t.Parallel()
	own, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Skip("needs /proc:", err)
	}
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip("needs /proc:", err)
	}
	defer file.Close()
	if len(untouched(file, own)) == 0 {
		t.Error("of the program nothing would be dropped")
	}
	dropProgram()
	// What was never used is read from the file like what was.
	if got := strings.ToTitle("it goes on"); got != "IT GOES ON" {
		t.Error(got)
	}
}
