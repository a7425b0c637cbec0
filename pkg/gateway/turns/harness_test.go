// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/statuses/statusestest"
	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/journal/messages"
	engine "safebeam.dev/safebeam/pkg/storage"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs/faultfs"
	"safebeam.dev/safebeam/pkg/storage/heads"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard()) // what fails here is meant to
	os.Exit(m.Run())
}

// patience bounds every wait of a test. It is reached in failures only, however
// busy the machine is.
const patience = 2 * time.Minute

const testNamespace = "ns"

// stepClock is a clock that moves when a test says so. What fires does so in a
// goroutine of its own, as with the real one.
type stepClock struct{ *clocktesting.FakeClock }

func newStepClock() stepClock {
	return stepClock{clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
}

func (c stepClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	if d <= 0 {
		go f()
	}
	return c.FakeClock.AfterFunc(d, func() {
		if d > 0 {
			go f()
		}
	})
}

// disk is where a world's store lies. It outlives worlds.
type disk struct {
	fs  *faultfs.FS
	dir string
}

// cluster is what outlives the broker's process besides the disk: the objects
// that turns name.
type cluster struct {
	mu            sync.Mutex
	conversations map[string]*tightbeamv1.Conversation
	models        map[string]*tightbeamv1.TightbeamModel
}

// world is a broker on a real store.
type world struct {
	*Broker
	t       testing.TB
	disk    *disk
	cluster *cluster
	db      *bbolt.DB
	heads   *heads.Store
	journal journal.Journal
	log     *messages.Log
	turns   storage.Interface // with the broker in its path
	raw     storage.Interface // without
	// rawHeads is what heads are kept in.
	rawHeads storage.Interface
	stop     func()
}

type worldOption func(*Options)

// fast lets nothing wait for a flush.
func fast(o *Options) { o.FlushInterval = time.Millisecond }

func newWorld(t testing.TB, options ...worldOption) *world {
	w := openWorld(t, newDisk(t), newCluster(), options...)
	w.model("echo", nil)
	w.conversation("c", nil)
	return w
}

func newDisk(t testing.TB) *disk { return &disk{fs: faultfs.New(1), dir: t.TempDir()} }

func newCluster() *cluster {
	return &cluster{conversations: map[string]*tightbeamv1.Conversation{}, models: map[string]*tightbeamv1.TightbeamModel{}}
}

func openWorld(t testing.TB, d *disk, c *cluster, options ...worldOption) *world {
	t.Helper()
	w := startWorld(t, d, c, options...)
	w.start()
	return w
}

// startWorld opens a world and does not start its broker.
func startWorld(t testing.TB, d *disk, c *cluster, options ...worldOption) *world {
	t.Helper()
	quiet := logr.Discard()
	db, err := bbolt.Open(bbolt.Options{Dir: d.dir, FS: d.fs, SegmentBytes: 512 << 10, CheckpointInterval: time.Hour, Logger: &quiet})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, disk: d, cluster: c, db: db, journal: db.Journal()}
	scheme := runtime.NewScheme()
	if err := tightbeamv1.Install(scheme); err != nil {
		t.Fatal(err)
	}
	codecs := serializer.NewCodecFactory(scheme)
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	version := tightbeamv1.SchemeGroupVersion
	w.raw = w.open(codecs.CodecForVersions(info.Serializer, info.Serializer, version, version), tightbeamv1.Resource("turns"), "/turns",
		func() runtime.Object { return &tightbeamv1.Turn{} }, func() runtime.Object { return &tightbeamv1.TurnList{} })
	w.rawHeads = w.open(heads.Codec(), heads.Resource, heads.ResourcePrefix,
		func() runtime.Object { return &heads.Head{} }, func() runtime.Object { return &heads.HeadList{} })
	w.heads = heads.NewStore(w.rawHeads)
	w.log = messages.New(w.journal, 1<<20)
	o := Options{
		Heads: w.heads, Log: w.log, Journal: w.journal,
		Conversation: func(_ context.Context, _, name string) (*tightbeamv1.Conversation, error) {
			return get(c, c.conversations, "conversations", name)
		},
		Model: func(_ context.Context, _, name string) (*tightbeamv1.TightbeamModel, error) {
			return get(c, c.models, "tightbeammodels", name)
		},
	}
	for _, option := range options {
		option(&o)
	}
	w.Broker = New(o)
	w.turns = w.Wrap(statusestest.Shared(t, statusestest.Behind(w.raw)), "/turns")
	return w
}

func (w *world) open(codec runtime.Codec, resource schema.GroupResource, prefix string, newFunc, newList func() runtime.Object) storage.Interface {
	versioner := storage.APIObjectVersioner{}
	s, err := etcd3.New(w.db.Client(), w.db, codec, newFunc, newList, "/registry", prefix, resource,
		identity.NewEncryptCheckTransformer(), etcd3.NewDefaultLeaseManagerConfig(), etcd3.NewDefaultDecoder(codec, versioner), versioner)
	if err != nil {
		w.t.Fatal(err)
	}
	return engine.OnBBolt(s, w.db, "/registry", prefix)
}

// start recovers and runs the broker until the world ends.
func (w *world) start() {
	w.t.Helper()
	if err := w.Recover(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.Run(ctx)
	}()
	w.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		_ = w.db.Close()
	})
	w.t.Cleanup(w.stop)
}

// crash cuts the power and opens what is left.
func (w *world) crash(options ...worldOption) *world {
	w.t.Helper()
	w.disk.fs.Crash()
	return w.reopen(options...)
}

// reopen stops the world and opens its disk anew.
func (w *world) reopen(options ...worldOption) *world {
	w.t.Helper()
	w.stop()
	w.disk.fs.Revive()
	return openWorld(w.t, w.disk, w.cluster, options...)
}

func get[T runtime.Object](c *cluster, from map[string]T, plural, name string) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	obj, ok := from[name]
	if !ok {
		var none T
		return none, apierrors.NewNotFound(tightbeamv1.Resource(plural), name)
	}
	return obj.DeepCopyObject().(T), nil
}

func (w *world) model(name string, change func(*tightbeamv1.TightbeamModelSpec)) {
	m := &tightbeamv1.TightbeamModel{ObjectMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: name, UID: types.UID(name)}}
	m.Spec.Provider, m.Spec.Model = tightbeamv1.ProviderEcho, name
	if change != nil {
		change(&m.Spec)
	}
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	w.cluster.models[name] = m
}

func (w *world) conversation(name string, change func(*tightbeamv1.ConversationSpec)) *tightbeamv1.Conversation {
	c := &tightbeamv1.Conversation{ObjectMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: name, UID: types.UID("uid-" + name)}}
	c.Spec.Model = "echo"
	c.Spec.ConcurrencyPolicy, c.Spec.MaxQueuedTurns = tightbeamv1.ConcurrencyEnqueue, ptr.To[int32](32)
	if change != nil {
		change(&c.Spec)
	}
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	w.cluster.conversations[name] = c
	return c
}

// turnOf returns a turn that says its own name.
func turnNamed(conversation, name string, change ...func(*tightbeamv1.Turn)) *tightbeamv1.Turn {
	turn := &tightbeamv1.Turn{
		ObjectMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: name, UID: uuid.NewUUID()},
		Spec: tightbeamv1.TurnSpec{
			Conversation: conversation, DeadlineSeconds: ptr.To[int32](600),
			Messages: []tightbeamv1.Message{say(tightbeamv1.RoleUser, name)},
		},
	}
	for _, c := range change {
		c(turn)
	}
	return turn
}

func say(role tightbeamv1.Role, text string) tightbeamv1.Message {
	return tightbeamv1.Message{Role: role, Content: []tightbeamv1.ContentBlock{{Text: &text}}}
}

// create creates a turn as the registry does.
func (w *world) create(turn *tightbeamv1.Turn) (*tightbeamv1.Turn, error) {
	turn = turn.DeepCopy()
	turn.CreationTimestamp = metav1.NewTime(w.clock.Now().Truncate(time.Second))
	turn.Status = tightbeamv1.TurnStatus{Phase: tightbeamv1.TurnQueued}
	out := &tightbeamv1.Turn{}
	err := w.turns.Create(context.Background(), "/turns/"+turn.Namespace+"/"+turn.Name, turn, out, 0)
	return out, err
}

func (w *world) mustCreate(turn *tightbeamv1.Turn) *tightbeamv1.Turn {
	w.t.Helper()
	out, err := w.create(turn)
	if err != nil {
		w.t.Fatalf("creating %s: %v", turn.Name, err)
	}
	return out
}

func (w *world) delete(name string) error {
	return w.turns.Delete(context.Background(), "/turns/"+testNamespace+"/"+name, &tightbeamv1.Turn{}, nil,
		storage.ValidateAllObjectFunc, nil, storage.DeleteOptions{})
}

// stored returns the turn as the store has it, nil if it has none.
func (w *world) stored(name string) *tightbeamv1.Turn {
	w.t.Helper()
	turn, err := w.store.Get(context.Background(), testNamespace, name)
	if err != nil {
		w.t.Fatal(err)
	}
	return turn
}

// finished returns the turn once it has its terminal phase, and what follows
// from that is done and durable.
func (w *world) finished(name string) *tightbeamv1.Turn {
	w.t.Helper()
	var turn *tightbeamv1.Turn
	w.eventually(name+" is finished and followed up", func() bool {
		turn = w.stored(name)
		return turn != nil && turn.Status.Phase.Terminal() && w.find(turn.UID) == nil &&
			!slices.ContainsFunc(w.head(turn.Spec.Conversation).Queue, func(c heads.Claim) bool { return c.UID == turn.UID })
	})
	return turn
}

func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			w.t.Fatalf("never: %s", what)
		}
	}
}

func (w *world) head(conversation string) *heads.Head {
	w.t.Helper()
	head, err := w.heads.Get(context.Background(), types.UID("uid-"+conversation))
	if err != nil {
		w.t.Fatal(err)
	}
	return head
}

// texts returns the log as "role: text", what is special about an entry ahead.
func (w *world) texts(conversation string) []string {
	w.t.Helper()
	var out []string
	index := int64(0)
	for entry, err := range w.log.Read(context.Background(), types.UID("uid-"+conversation), tightbeamv1.LogViewRaw, 0, false) {
		if err != nil {
			w.t.Fatal(err)
		}
		if index++; entry.Index != index {
			w.t.Errorf("the log of %s has the index %d after %d", conversation, entry.Index, index-1)
		}
		text := string(entry.Role)
		if entry.Partial {
			text = "partial " + text
		}
		for _, block := range entry.Content {
			text += ": " + ptr.Deref(block.Text, "?")
		}
		out = append(out, text)
	}
	return out
}

// events reads a turn's events to the terminal one.
func (w *world) events(turn *tightbeamv1.Turn, after int64) []*tightbeamv1.TurnEvent {
	w.t.Helper()
	events, err := readAll(w.Broker, turn, after)
	if err != nil {
		w.t.Fatalf("reading %s: %v", turn.Name, err)
	}
	return events
}

func readAll(b *Broker, turn *tightbeamv1.Turn, after int64) ([]*tightbeamv1.TurnEvent, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	reader, err := b.Read(ctx, turn, after)
	if err != nil {
		return nil, err
	}
	var out []*tightbeamv1.TurnEvent
	for {
		events, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		for _, encoded := range events {
			event, err := decodeEvent(encoded)
			if err != nil {
				return out, err
			}
			out = append(out, event)
		}
	}
}

func eventTypes(events []*tightbeamv1.TurnEvent) []tightbeamv1.TurnEventType {
	var out []tightbeamv1.TurnEventType
	for _, e := range events {
		out = append(out, e.Type)
	}
	return out
}

// job is one attempt in the hands of a fake job.
type job struct {
	*Stream
	w          *world
	assignment *pb.TurnAssignment
	sequence   int64
}

// pull takes the next turn of a model and opens its stream.
func (w *world) pull(model string) *job {
	w.t.Helper()
	assignment := w.pullOnly(model)
	return w.connectJob(assignment)
}

func (w *world) pullOnly(model string) *pb.TurnAssignment {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	assignment, err := w.GetTurn(ctx, testNamespace, model, "job-"+model)
	if err != nil {
		w.t.Fatalf("GetTurn: %v", err)
	}
	return assignment
}

func (w *world) connectJob(assignment *pb.TurnAssignment) *job {
	w.t.Helper()
	stream, err := w.Open(context.Background(), testNamespace, "", types.UID(assignment.GetTurnUid()), assignment.GetAttempt())
	if err != nil {
		w.t.Fatalf("Open %s: %v", assignment.GetTurn(), err)
	}
	return &job{Stream: stream, w: w, assignment: assignment, sequence: stream.Received()}
}

func (j *job) send(chunk *pb.TurnResultChunk) (bool, error) {
	j.sequence++
	chunk.Sequence = j.sequence
	return j.Receive(context.Background(), chunk)
}

func (j *job) say(texts ...string) {
	j.w.t.Helper()
	for _, text := range texts {
		if _, err := j.send(textChunk(text)); err != nil {
			j.w.t.Fatalf("chunk %q: %v", text, err)
		}
	}
}

func (j *job) complete(text string) {
	j.w.t.Helper()
	if done, err := j.send(completeChunk(text)); err != nil || !done {
		j.w.t.Fatalf("complete: done=%v, %v", done, err)
	}
	j.Close()
}

func (j *job) failWith(class pb.ErrorClass, retryAfter time.Duration) {
	j.w.t.Helper()
	_, err := j.send(&pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_Error{Error: &pb.TurnError{
		Class: class, Message: "it failed", RetryAfterMillis: retryAfter.Milliseconds(),
	}}})
	if err != nil {
		j.w.t.Fatalf("error: %v", err)
	}
	j.Close()
}

// durable waits until all that was sent is durable.
func (j *job) durable() {
	j.w.t.Helper()
	j.w.eventually(fmt.Sprintf("chunk %d is durable", j.sequence), func() bool { return j.Received() >= j.sequence })
}

func textChunk(text string) *pb.TurnResultChunk {
	return &pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_ContentDelta{ContentDelta: &pb.ContentDelta{Text: text}}}
}

func completeChunk(text string) *pb.TurnResultChunk {
	return &pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_Complete{Complete: &pb.TurnComplete{
		StopReason: pb.StopReason_STOP_REASON_END_TURN,
		Content:    []*pb.ContentBlock{{Block: &pb.ContentBlock_Text{Text: &pb.TextBlock{Text: text}}}},
		Usage:      &pb.Usage{InputTokens: 3, OutputTokens: 5},
	}}}
}
