// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"io"
	"slices"
	"testing"
)

// restless is a directory that gives names twice, as one may in which files are
// renamed meanwhile.
type restless []string

func (d *restless) Readdirnames(n int) ([]string, error) {
	if len(*d) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(*d))
	names := (*d)[:n]
	*d = (*d)[n:]
	return names, nil
}

// The gateway takes a name that comes twice for the lie of a hostile sandboxd.
func TestANameIsListedOnce(t *testing.T) {
	for _, c := range []struct {
		limit int
		after string
		want  []string
		more  bool
	}{
		{limit: 10, want: []string{"a", "b", "c", "d"}},
		{limit: 10, after: "b", want: []string{"c", "d"}},
		{limit: 3, want: []string{"a", "b"}, more: true},
	} {
		names, more, err := firstNames(&restless{"b", "a", "d", "b", "c", "a"}, c.after, c.limit)
		if err != nil || more != c.more || !slices.Equal(names, c.want) {
			t.Errorf("%d after %q: %q, %v, %v; want %q, %v", c.limit, c.after, names, more, err, c.want, c.more)
		}
	}
}
