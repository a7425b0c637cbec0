// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package messages

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

func open(t *testing.T) journal.Journal {
	t.Helper()
	db, err := bbolt.Open(bbolt.Options{Dir: t.TempDir(), SegmentBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db.Journal()
}

func turn(uid string) *tightbeamv1.Turn {
	return &tightbeamv1.Turn{ObjectMeta: metav1.ObjectMeta{Name: "turn-" + uid, UID: types.UID(uid)}}
}

func stage(t *testing.T, l *Log, uid string, entries ...tightbeamv1.LogEntry) {
	t.Helper()
	pending, err := l.Stage(context.Background(), "c", turn(uid), entries)
	if err != nil {
		t.Fatal(err)
	}
	if err := pending.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, l *Log) []string {
	t.Helper()
	var all []tightbeamv1.LogEntry
	for e, err := range l.Read(context.Background(), "c", tightbeamv1.LogViewRaw, 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Index != int64(len(all)+1) {
			t.Errorf("index %d after %d messages", e.Index, len(all))
		}
		all = append(all, e)
	}
	return texts(all)
}

func TestAMessageEntersTheLogOnceHoweverOftenItIsStaged(t *testing.T) {
	t.Parallel()
	j := open(t)
	// A cache of one byte holds the newest log only.
	for range 3 {
		l := New(j, 1)
		stage(t, l, "1", entry("", user, "q"))
		stage(t, l, "1", entry("", user, "q"), entry("", assistant, "a"))
		if _, err := l.History(context.Background(), "other"); err != nil {
			t.Fatal(err)
		}
		stage(t, l, "2", entry("", user, "r"))
		if diff := cmp.Diff([]string{"user:q", "assistant:a", "user:r"}, read(t, l)); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestTheRouterLogIsApart(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := New(open(t), 1<<20)
	for _, uid := range []string{"1", "1", "2"} {
		pending, err := l.StageRouter(ctx, "c", turn(uid), entry("", assistant, uid))
		if err != nil {
			t.Fatal(err)
		}
		if err := pending.Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, l); len(got) != 0 {
		t.Errorf("the history has %v", got)
	}
	count := 0
	for range l.Read(ctx, "c", tightbeamv1.LogViewRouter, 0, false) {
		count++
	}
	if count != 2 {
		t.Errorf("%d answers of the router", count)
	}
}

func TestWhatIsStagedIsInTheLogAtOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	// A cache of one byte holds the newest log only.
	l := New(open(t), 1)
	for i, said := range []string{"q", "r", "s"} {
		uid := string(rune('1' + i))
		if _, err := l.Stage(ctx, "c", turn(uid), []tightbeamv1.LogEntry{entry("", user, said)}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.History(ctx, "other"); err != nil {
			t.Fatal(err)
		}
		if _, err := l.StageRouter(ctx, "c", turn(uid), entry("", assistant, uid)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"user:q", "user:r", "user:s"}, read(t, l)); diff != "" {
		t.Error(diff)
	}
	if last, err := l.Last(ctx, "c"); last != 3 || err != nil {
		t.Errorf("it ends at %d, %v", last, err)
	}
	routed := 0
	for range l.Read(ctx, "c", tightbeamv1.LogViewRouter, 0, false) {
		routed++
	}
	if routed != 3 {
		t.Errorf("%d answers of the router", routed)
	}
}

// refusing fails what is staged, as an engine does that has the outcome at once.
type refusing struct {
	journal.Journal
	err error
}

func (r *refusing) Stage(ctx context.Context, records ...journal.Record) journal.Pending {
	if r.err != nil {
		return journal.Done(r.err)
	}
	return r.Journal.Stage(ctx, records...)
}

func TestWhatCouldNotBeWrittenIsStagedAgain(t *testing.T) {
	t.Parallel()
	j := &refusing{Journal: open(t), err: errors.New("no quorum")}
	l := New(j, 1<<20)
	if _, err := l.Stage(context.Background(), "c", turn("1"), []tightbeamv1.LogEntry{entry("", user, "q")}); err == nil {
		t.Fatal("the failure is not told")
	}
	j.err = nil
	stage(t, l, "1", entry("", user, "q"), entry("", assistant, "a"))
	if diff := cmp.Diff([]string{"user:q", "assistant:a"}, read(t, l)); diff != "" {
		t.Error(diff)
	}
}

func TestADroppedLogBeginsAnew(t *testing.T) {
	t.Parallel()
	l := New(open(t), 1<<20)
	stage(t, l, "1", entry("", user, "q"))
	if err := l.Drop(context.Background(), "c"); err != nil {
		t.Fatal(err)
	}
	stage(t, l, "2", entry("", user, "r"))
	if diff := cmp.Diff([]string{"user:r"}, read(t, l)); diff != "" {
		t.Error(diff)
	}
}
