// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"slices"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// blocks collects the text of an answer as it arrives, so that what was said
// before a failure can be kept.
type blocks struct {
	order []int32
	text  map[int32][]byte
}

func (b *blocks) add(index int32, text string) {
	if b.text == nil {
		b.text = map[int32][]byte{}
	}
	if _, ok := b.text[index]; !ok {
		b.order = append(b.order, index)
	}
	b.text[index] = append(b.text[index], text...)
}

// content returns the collected text as content blocks, in order.
func (b *blocks) content() []tightbeamv1.ContentBlock {
	slices.Sort(b.order)
	var content []tightbeamv1.ContentBlock
	for _, index := range b.order {
		if text := string(b.text[index]); text != "" {
			content = append(content, tightbeamv1.ContentBlock{Text: &text})
		}
	}
	return content
}
