// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs/faultfs"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// crashRounds is how often the power is cut. SAFEBEAM_CRASH_ROUNDS asks for more.
const crashRounds = 150

// TestNumbersKeepTheLawAcrossCrashes cuts the power at a random moment while
// turns run, several times a round, with jobs that come back and jobs that do
// not, and holds what readers were shown against what there is in the end.
func TestNumbersKeepTheLawAcrossCrashes(t *testing.T) {
	t.Parallel()
	rounds := crashRounds
	if text := os.Getenv("SAFEBEAM_CRASH_ROUNDS"); text != "" {
		rounds, _ = strconv.Atoi(text)
	}
	if testing.Short() {
		rounds = 30
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SAFEBEAM_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
		rounds = 1
	}
	// Most of a round is waiting for the disk.
	var workers sync.WaitGroup
	next := make(chan uint64)
	for range 8 {
		workers.Go(func() {
			for seed := range next {
				// A test of its own, so that its disk goes with it.
				t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { crashRound(t, seed) })
			}
		})
	}
	for round := range rounds {
		if t.Failed() {
			break
		}
		next <- seed + uint64(round)
	}
	close(next)
	workers.Wait()
}

// crashing is one round.
type crashing struct {
	*world
	rng  *rand.Rand
	seed uint64

	mu sync.Mutex
	// dead: what is shown from now on, nobody has seen.
	dead  bool
	shown map[types.UID]map[int64]string // by event number, without time
	last  map[types.UID]int64            // the highest number shown
	asked []*tightbeamv1.Turn
	acked map[types.UID]*tightbeamv1.Turn
	ended map[types.UID]string // the terminal event shown
	tasks sync.WaitGroup
}

func crashRound(t *testing.T, seed uint64) {
	c := &crashing{
		rng: rand.New(rand.NewPCG(seed, 0)), seed: seed,
		shown: map[types.UID]map[int64]string{}, last: map[types.UID]int64{},
		acked: map[types.UID]*tightbeamv1.Turn{}, ended: map[types.UID]string{},
	}
	option := func(o *Options) {
		o.FlushInterval, o.FlushBytes, o.JobGrace = time.Millisecond, 1<<20, 2*time.Millisecond
		if c.rng.IntN(2) == 0 {
			o.FlushInterval = time.Hour // nothing is durable but what must be
		}
	}
	cl := &cluster{conversations: map[string]*tightbeamv1.Conversation{}, models: map[string]*tightbeamv1.TightbeamModel{}}
	c.world = startWorld(t, &disk{fs: faultfs.New(seed), dir: t.TempDir()}, cl, option)
	c.model("echo", nil)
	c.conversation("c", nil)
	c.conversation("d", func(s *tightbeamv1.ConversationSpec) { s.ConcurrencyPolicy = tightbeamv1.ConcurrencyRollback })
	c.start()
	for life := range 1 + c.rng.IntN(3) {
		c.live(life)
		c.mu.Lock()
		c.dead = true
		c.mu.Unlock()
		c.disk.fs.Crash()
		c.stop()
		c.tasks.Wait()
		c.disk.fs.Revive()
		c.mu.Lock()
		c.dead = false
		c.mu.Unlock()
		c.world = startWorld(t, c.disk, cl, option)
		c.start()
	}
	c.settleDown()
	c.check()
	c.stop()
	if t.Failed() {
		t.Logf("again with SAFEBEAM_SEED=%d", seed)
	}
}

// live lets turns run for a while. Jobs come before the turns, or after, and
// some turns are being created when the power goes.
func (c *crashing) live(life int) {
	w := c.world
	for _, turn := range c.known() {
		c.tasks.Go(func() { c.watch(w, turn) })
	}
	jobs := func() {
		for range 3 {
			seed := c.rng.Uint64()
			c.tasks.Go(func() { c.work(w, rand.New(rand.NewPCG(seed, 1))) })
		}
	}
	early := c.rng.IntN(2) == 0
	if early {
		jobs()
		time.Sleep(time.Duration(c.rng.IntN(200)) * time.Microsecond)
	}
	var turns []*tightbeamv1.Turn
	for i := range 1 + c.rng.IntN(3) {
		turns = append(turns, turnNamed([]string{"c", "d"}[c.rng.IntN(2)], fmt.Sprintf("turn-%d-%d", life, i)))
	}
	last := turns[len(turns)-1]
	for _, turn := range turns[:len(turns)-1] {
		c.ask(w, turn)
	}
	c.tasks.Go(func() { c.ask(w, last) })
	if !early {
		jobs()
	}
	if c.rng.IntN(4) == 0 {
		c.tasks.Go(func() {
			for _, turn := range c.known() {
				_, _ = w.Cancel(w.ctx, turn, "by the test")
				return
			}
		})
	}
	time.Sleep(time.Duration(c.rng.IntN(4000)) * time.Microsecond)
}

// ask creates a turn and reads it.
func (c *crashing) ask(w *world, turn *tightbeamv1.Turn) {
	c.mu.Lock()
	c.asked = append(c.asked, turn)
	c.mu.Unlock()
	created, err := w.create(turn)
	if err != nil {
		if w.ctx.Err() == nil && w.db.Failed() == nil {
			c.t.Errorf("create: %v", err)
		}
		return
	}
	c.mu.Lock()
	if !c.dead {
		c.acked[created.UID] = created
	}
	c.mu.Unlock()
	c.tasks.Go(func() { c.watch(w, created) })
}

// watch reads a turn as a client does that goes on after what it has seen.
func (c *crashing) watch(w *world, turn *tightbeamv1.Turn) {
	c.mu.Lock()
	after := c.last[turn.UID]
	c.mu.Unlock()
	reader, err := w.Read(w.ctx, turn, after)
	if err != nil {
		if w.ctx.Err() == nil && w.db.Ready() == nil {
			c.t.Errorf("turn %s does not know the cursor %d that it gave out: %v", turn.Name, after, err)
		}
		return
	}
	for {
		events, err := reader.Next(w.ctx)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return
			}
			if w.ctx.Err() == nil && w.db.Ready() == nil {
				c.t.Errorf("reading %s: %v", turn.Name, err)
			}
			return
		}
		c.see(turn, events)
	}
}

// see holds events against those that were shown before.
func (c *crashing) see(turn *tightbeamv1.Turn, events []Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return
	}
	known := c.shown[turn.UID]
	if known == nil {
		known = map[int64]string{}
		c.shown[turn.UID] = known
	}
	for _, encoded := range events {
		event, err := decodeEvent(encoded)
		if err != nil {
			c.t.Error(err)
			return
		}
		if event.Number <= c.last[turn.UID] {
			c.t.Errorf("turn %s: event %d was shown again after %d", turn.Name, event.Number, c.last[turn.UID])
		}
		c.last[turn.UID] = event.Number
		said := describe(event)
		if before, ok := known[event.Number]; ok && before != said {
			c.t.Errorf("turn %s: number %d names two events: %s and %s", turn.Name, event.Number, before, said)
		}
		known[event.Number] = said
		if ended, ok := c.ended[turn.UID]; ok {
			c.t.Errorf("turn %s: %s came after the terminal %s", turn.Name, said, ended)
		}
		if event.Type.Terminal() {
			c.ended[turn.UID] = said
		}
	}
}

func describe(e *tightbeamv1.TurnEvent) string {
	said := fmt.Sprintf("%s attempt=%d text=%q lost=%d-%d reason=%q", e.Type, e.Attempt, e.Text, e.LostFrom, e.LostTo, e.Reason)
	if e.Error != nil {
		said += " error=" + string(e.Error.Class)
	}
	return said
}

// script is what an attempt answers: the same however often it is sent.
func script(assignment *pb.TurnAssignment) []*pb.TurnResultChunk {
	rng := rand.New(rand.NewPCG(uint64(len(assignment.GetTurnUid()))+uint64(assignment.GetTurnUid()[0]), uint64(assignment.GetAttempt())))
	var chunks []*pb.TurnResultChunk
	text := ""
	for i := range rng.IntN(12) {
		piece := fmt.Sprintf("%d.%d ", assignment.GetAttempt(), i)
		text += piece
		chunks = append(chunks, textChunk(piece))
	}
	if rng.IntN(4) == 0 {
		chunks = append(chunks, &pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_Error{Error: &pb.TurnError{Class: pb.ErrorClass_ERROR_CLASS_CONTEXT_TOO_LONG, Message: "no"}}})
	} else {
		chunks = append(chunks, completeChunk(text))
	}
	for i, chunk := range chunks {
		chunk.Sequence = int64(i + 1)
	}
	return chunks
}

// work is a job that pulls turns, answers some of them, leaves others, and
// takes up those of others that are still running.
func (c *crashing) work(w *world, rng *rand.Rand) {
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	for _, turn := range c.known() {
		object := w.stored2(turn)
		if object == nil || object.Status.Phase != tightbeamv1.TurnRunning || rng.IntN(3) == 0 {
			continue
		}
		c.answer(ctx, w, rng, &pb.TurnAssignment{TurnUid: string(object.UID), Attempt: int32(len(object.Status.Attempts))})
	}
	for ctx.Err() == nil {
		assignment, err := w.GetTurn(ctx, testNamespace, "echo", fmt.Sprint("job-", rng.IntN(10)))
		if err != nil {
			return
		}
		if rng.IntN(5) > 0 {
			c.answer(ctx, w, rng, assignment)
		}
	}
}

func (c *crashing) known() []*tightbeamv1.Turn {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*tightbeamv1.Turn
	for _, turn := range c.acked {
		out = append(out, turn)
	}
	return out
}

// stored2 is stored where the store may be dead.
func (w *world) stored2(turn *tightbeamv1.Turn) *tightbeamv1.Turn {
	object, err := w.store.Get(context.Background(), turn.Namespace, turn.Name)
	if err != nil {
		return nil
	}
	return object
}

func (c *crashing) answer(ctx context.Context, w *world, rng *rand.Rand, assignment *pb.TurnAssignment) {
	stream, err := w.Open(ctx, testNamespace, "echo", types.UID(assignment.GetTurnUid()), assignment.GetAttempt())
	if err != nil {
		return
	}
	defer stream.Close()
	chunks := script(assignment)
	for _, chunk := range chunks[min(int(stream.Received()), len(chunks)):] {
		if rng.IntN(40) == 0 {
			return // the connection breaks; somebody may come back
		}
		if _, err := stream.Receive(ctx, chunk); err != nil {
			return
		}
		if rng.IntN(3) == 0 {
			time.Sleep(time.Duration(rng.IntN(300)) * time.Microsecond)
		}
	}
}

// settleDown brings every turn to its end, those included that are stored and
// nobody was told so.
func (c *crashing) settleDown() {
	w := c.world
	for _, turn := range c.asked {
		if object := c.stored(turn.Name); object != nil && c.acked[object.UID] == nil {
			c.acked[object.UID] = object
		}
	}
	ctx, cancel := context.WithCancel(w.ctx)
	defer c.tasks.Wait()
	defer cancel()
	c.tasks.Go(func() {
		for ctx.Err() == nil {
			assignment, err := w.GetTurn(ctx, testNamespace, "echo", "last")
			if err != nil {
				return
			}
			c.answer(ctx, w, rand.New(rand.NewPCG(1, 1)), assignment)
		}
	})
	for _, turn := range c.acked {
		c.watch(w, turn)
		w.finished(turn.Name)
	}
}

// check holds what was shown against what there is.
func (c *crashing) check() {
	for uid, turn := range c.acked {
		object := c.stored(turn.Name)
		if object == nil || object.UID != uid {
			c.t.Errorf("turn %s was acknowledged and is gone", turn.Name)
			continue
		}
		events := c.events(object, 0)
		var lost [][2]int64
		terminals := 0
		previous := int64(0)
		for _, event := range events {
			if before, ok := c.shown[uid][event.Number]; ok && before != describe(event) {
				c.t.Errorf("turn %s: number %d was %s and is %s", turn.Name, event.Number, before, describe(event))
			}
			if event.Type == tightbeamv1.TurnEventResumed {
				lost = append(lost, [2]int64{event.LostFrom, event.LostTo})
			} else if event.Number != previous+1 {
				c.t.Errorf("turn %s: number %d comes after %d without a word", turn.Name, event.Number, previous)
			}
			if event.Type == tightbeamv1.TurnEventResumed && (event.LostFrom != previous+1 || event.LostTo != event.Number-1) {
				c.t.Errorf("turn %s: %s at %d, after %d", turn.Name, describe(event), event.Number, previous)
			}
			if event.Type.Terminal() {
				terminals++
			}
			previous = event.Number
		}
		if terminals != 1 || previous != object.Status.LastEvent {
			c.t.Errorf("turn %s has %d terminal events, the last event is %d, its status says %d", turn.Name, terminals, previous, object.Status.LastEvent)
		}
		for number, said := range c.shown[uid] {
			there := slices.ContainsFunc(events, func(e *tightbeamv1.TurnEvent) bool { return e.Number == number })
			inGap := slices.ContainsFunc(lost, func(gap [2]int64) bool { return gap[0] <= number && number <= gap[1] })
			if !there && !inGap {
				c.t.Errorf("turn %s: event %d (%s) was shown, is not there and not told lost", turn.Name, number, said)
			}
		}
		if said := describe(events[len(events)-1]); c.ended[uid] != said {
			c.t.Errorf("turn %s: the reader saw the end %q, it is %q", turn.Name, c.ended[uid], said)
		}
	}
	for _, conversation := range []string{"c", "d"} {
		c.checkLog(conversation)
		// A release shares the sync of what comes next, or gets its own soon.
		c.eventually("the head of "+conversation+" has no claims left", func() bool { return len(c.head(conversation).Queue) == 0 })
	}
}

// checkLog: each turn that ran is in the log once, in the order of positions.
func (c *crashing) checkLog(conversation string) {
	seen := map[string]int64{}
	last := int64(0)
	for entry, err := range c.log.Read(context.Background(), types.UID("uid-"+conversation), tightbeamv1.LogViewRaw, 0, false) {
		if err != nil {
			c.t.Fatal(err)
		}
		turn := c.acked[types.UID(entry.TurnUID)]
		if turn == nil {
			c.t.Errorf("the log has a message of nobody: %+v", entry)
			continue
		}
		position := turn.Status.Position
		if position < last {
			c.t.Errorf("the log of %s has turn %d after turn %d", conversation, position, last)
		}
		last = position
		key := entry.TurnUID + string(entry.Role)
		if before, ok := seen[key]; ok {
			c.t.Errorf("the log of %s has the %s message of %s twice, at %d and %d", conversation, entry.Role, entry.Turn, before, entry.Index)
		}
		seen[key] = entry.Index
	}
	for uid, turn := range c.acked {
		object := c.stored(turn.Name)
		if object.Spec.Conversation != conversation || len(object.Status.Attempts) == 0 {
			continue
		}
		if _, ok := seen[string(uid)+"user"]; !ok {
			c.t.Errorf("turn %s ran and its message is not in the log", turn.Name)
		}
		if _, ok := seen[string(uid)+"assistant"]; !ok && object.Status.Phase == tightbeamv1.TurnSucceeded {
			c.t.Errorf("turn %s succeeded and its answer is not in the log", turn.Name)
		}
	}
}
