// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package channels

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	informers "safebeam.dev/safebeam/pkg/generated/informers/externalversions/tightbeam/v1"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// Hub knows the streams of channel jobs and the agents that listen.
type Hub struct {
	client  versioned.Interface
	pending cache.SharedIndexInformer // turns whose answer is not said yet
	tasks   sync.WaitGroup

	mu          sync.Mutex
	streams     map[types.NamespacedName]*Stream
	subscribers map[string]map[*Subscription]struct{} // by namespace
	// recent has what is worth remembering of channels between streams.
	recent map[types.NamespacedName]*recent
}

// byChannel indexes pending turns by the channel that they answer on.
const byChannel = "channel"

// New returns a hub that acts as client, which may do everything: what it does
// follows from the TightbeamChannel alone.
func New(client versioned.Interface) (*Hub, error) {
	h := &Hub{
		client:  client,
		streams: map[types.NamespacedName]*Stream{}, subscribers: map[string]map[*Subscription]struct{}{},
		recent: map[types.NamespacedName]*recent{},
	}
	h.pending = informers.NewFilteredTurnInformer(client, metav1.NamespaceAll, 0, cache.Indexers{
		byChannel: func(obj any) ([]string, error) { return []string{channelOf(obj.(*tightbeamv1.Turn)).String()}, nil },
	}, func(o *metav1.ListOptions) {
		o.LabelSelector = labels.Set{tightbeamv1.LabelReply: tightbeamv1.ReplyPending}.String()
	})
	changed := func(obj any) {
		if turn, ok := obj.(*tightbeamv1.Turn); ok && turn.Status.Phase.Terminal() {
			h.wake(channelOf(turn))
		}
	}
	_, err := h.pending.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: changed, UpdateFunc: func(_, obj any) { changed(obj) },
	})
	return h, err
}

// Run watches for answers until ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	h.pending.RunWithContext(ctx)
	h.mu.Lock()
	for _, s := range h.streams {
		s.end()
	}
	h.mu.Unlock()
	h.tasks.Wait()
	return nil
}

func (h *Hub) wake(channel types.NamespacedName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.streams[channel]; s != nil {
		signal(s.changed)
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// recentIDs is how many of a channel's messages are known again when the
// platform delivers them twice to agents.
const recentIDs = 256

type recent struct {
	ids  []string
	at   *pb.ChannelAddress // of the last message
	told time.Time          // when status.lastMessageTime was written
}

// heard notes a message and reports whether it is new.
func (h *Hub) heard(channel types.NamespacedName, at *pb.ChannelAddress) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.recentOf(channel)
	if at != nil {
		r.at = at
	}
	id := at.GetMessageId()
	if id == "" {
		return true
	}
	id = at.GetChannelId() + "\x00" + id
	for _, known := range r.ids {
		if known == id {
			return false
		}
	}
	if r.ids = append(r.ids, id); len(r.ids) > recentIDs {
		r.ids = r.ids[1:]
	}
	return true
}

func (h *Hub) recentOf(channel types.NamespacedName) *recent {
	r := h.recent[channel]
	if r == nil {
		r = &recent{}
		h.recent[channel] = r
	}
	return r
}

// lastAddress is where a channel's last message came from, nil if unknown.
func (h *Hub) lastAddress(channel types.NamespacedName) *pb.ChannelAddress {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.recent[channel]; r != nil {
		return r.at
	}
	return nil
}

// tell writes status.lastMessageTime, at most once a minute.
func (h *Hub) tell(ctx context.Context, channel *tightbeamv1.TightbeamChannel) {
	now := metav1.Now().Rfc3339Copy()
	h.mu.Lock()
	r := h.recentOf(types.NamespacedName{Namespace: channel.Namespace, Name: channel.Name})
	due := now.Sub(r.told) >= time.Minute
	if due {
		r.told = now.Time
	}
	h.mu.Unlock()
	if !due {
		return
	}
	updated := channel.DeepCopy()
	updated.Status.LastMessageTime = &now
	if _, err := h.client.TightbeamV1().TightbeamChannels(channel.Namespace).UpdateStatus(ctx, updated, metav1.UpdateOptions{}); err != nil {
		klog.FromContext(ctx).V(2).Info("The time of a channel's last message is not written", "channel", klog.KObj(channel), "err", err)
	}
}
