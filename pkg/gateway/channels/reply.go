// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package channels

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

const fieldManager = "safebeam-channels"

func channelOf(turn *tightbeamv1.Turn) types.NamespacedName {
	return types.NamespacedName{Namespace: turn.Namespace, Name: turn.Labels[tightbeamv1.LabelChannel]}
}

// Reply has a turn's answer said on a channel of its namespace: at an address,
// or, with none, where the channel's last message came from.
func (h *Hub) Reply(turn *tightbeamv1.Turn, channel string, at *pb.ChannelAddress) error {
	if at == nil {
		at = h.lastAddress(types.NamespacedName{Namespace: turn.Namespace, Name: channel})
	}
	return markReply(turn, channel, at)
}

func markReply(turn *tightbeamv1.Turn, channel string, at *pb.ChannelAddress) error {
	metav1.SetMetaDataLabel(&turn.ObjectMeta, tightbeamv1.LabelChannel, channel)
	metav1.SetMetaDataLabel(&turn.ObjectMeta, tightbeamv1.LabelReply, tightbeamv1.ReplyPending)
	if at == nil {
		return nil
	}
	data, err := protojson.Marshal(at)
	if err != nil {
		return fmt.Errorf("reply address: %w", err)
	}
	metav1.SetMetaDataAnnotation(&turn.ObjectMeta, tightbeamv1.AnnotationReplyAddress, string(data))
	return nil
}

func addressOf(turn *tightbeamv1.Turn) *pb.ChannelAddress {
	at := &pb.ChannelAddress{}
	if protojson.Unmarshal([]byte(turn.Annotations[tightbeamv1.AnnotationReplyAddress]), at) != nil {
		return nil // none, or somebody's own
	}
	return at
}

// Say sends answers and notices to the job until ctx ends, the stream is
// replaced, or sending fails.
func (s *Stream) Say(ctx context.Context, send func(*pb.ChannelSend) error) error {
	if !cache.WaitForCacheSync(ctx.Done(), s.hub.pending.HasSynced) {
		return ctx.Err()
	}
	said := map[types.UID]bool{} // until the informer knows
	for {
		turn := s.hub.next(s.channel, said)
		if turn != nil {
			if err := s.say(ctx, turn, send); err != nil {
				return err
			}
			said[turn.UID] = true
			continue
		}
		select {
		case <-s.changed:
		case notice := <-s.notices:
			if err := send(notice); err != nil {
				return err
			}
		case <-s.acks: // of what was said by a stream before
		case <-s.over:
			return ErrReplaced
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next returns the turn that ended first among those whose answer is not said.
func (h *Hub) next(channel types.NamespacedName, said map[types.UID]bool) *tightbeamv1.Turn {
	objects, err := h.pending.GetIndexer().ByIndex(byChannel, channel.String())
	if err != nil {
		panic(err) // the index is there from the beginning
	}
	var ended []*tightbeamv1.Turn
	there := map[types.UID]bool{}
	for _, obj := range objects {
		turn := obj.(*tightbeamv1.Turn)
		there[turn.UID] = true
		if turn.Status.Phase.Terminal() && !said[turn.UID] {
			ended = append(ended, turn)
		}
	}
	for uid := range said {
		if !there[uid] {
			delete(said, uid)
		}
	}
	if len(ended) == 0 {
		return nil
	}
	return slices.MinFunc(ended, func(a, b *tightbeamv1.Turn) int {
		at, bt := a.Status.CompletionTime, b.Status.CompletionTime
		if at != nil && bt != nil && !at.Time.Equal(bt.Time) {
			return at.Compare(bt.Time)
		}
		return cmp.Compare(a.Name, b.Name)
	})
}

// say sends one answer, waits for the job to acknowledge it if it does, and
// writes down that it was said.
func (s *Stream) say(ctx context.Context, turn *tightbeamv1.Turn, send func(*pb.ChannelSend) error) error {
	if text := answer(turn); text != "" {
		id := string(turn.UID)
		if err := send(&pb.ChannelSend{Content: textBlocks(text), Address: addressOf(turn), Id: id}); err != nil {
			return err
		}
		for acked := !s.acknowledges; !acked; {
			select {
			case got := <-s.acks:
				acked = got == id
			case <-s.over:
				return ErrReplaced
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": turn.UID, "labels": map[string]string{tightbeamv1.LabelReply: tightbeamv1.ReplySaid},
	}})
	if err != nil {
		return err
	}
	// It has been said, whatever becomes of the stream.
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_, err = s.hub.client.TightbeamV1().Turns(turn.Namespace).Patch(write, turn.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		// The next stream says it again, under the same id.
		klog.FromContext(ctx).Error(err, "Cannot write down that an answer was said", "turn", klog.KObj(turn))
	}
	return nil
}
