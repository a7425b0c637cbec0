// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage/value"

	"safebeam.dev/safebeam/pkg/journal"
)

// sealedJournal encrypts what records hold, as the resource that they belong
// to is encrypted. A record is bound to its owner and number: moved elsewhere
// in the store it does not open.
type sealedJournal struct {
	journal.Journal
	// transformers are by the plural that owners begin with.
	transformers map[string]value.Transformer
	// plain: nothing is encrypted that is written. What is read may have been.
	plain bool
}

func newSealedJournal(inner journal.Journal, e *encryption, resources map[string]schema.GroupResource) *sealedJournal {
	j := &sealedJournal{Journal: inner, transformers: map[string]value.Transformer{}, plain: e.none}
	for plural, resource := range resources {
		j.transformers[plural] = e.TransformerForResource(resource)
	}
	return j
}

// transformer returns what seals the records of owner. An owner of a kind that
// is not known is refused: it would be stored in the clear, or under a key
// that nobody chose for it.
func (j *sealedJournal) transformer(owner journal.Owner) (value.Transformer, error) {
	plural, _, _ := strings.Cut(string(owner), "/")
	transformer, ok := j.transformers[plural]
	if !ok {
		return nil, fmt.Errorf("journal owner %q: %q is no resource that has a journal", owner, plural)
	}
	return transformer, nil
}

func sealContext(r journal.Record) value.Context {
	return value.DefaultContext(string(r.Owner) + "\x00" + strconv.FormatInt(r.Number, 10))
}

func (j *sealedJournal) seal(ctx context.Context, records []journal.Record) ([]journal.Record, error) {
	if j.plain {
		for _, r := range records {
			if _, err := j.transformer(r.Owner); err != nil {
				return nil, err
			}
		}
		return records, nil
	}
	sealed := make([]journal.Record, len(records))
	for i, r := range records {
		t, err := j.transformer(r.Owner)
		if err != nil {
			return nil, err
		}
		data, err := t.TransformToStorage(ctx, r.Data, sealContext(r))
		if err != nil {
			return nil, fmt.Errorf("encrypting record %d of %s: %w", r.Number, r.Owner, err)
		}
		sealed[i] = journal.Record{Owner: r.Owner, Number: r.Number, Data: data}
	}
	return sealed, nil
}

func (j *sealedJournal) unseal(ctx context.Context, r journal.Record) (journal.Record, error) {
	t, err := j.transformer(r.Owner)
	if err != nil {
		return r, err
	}
	data, _, err := t.TransformFromStorage(ctx, r.Data, sealContext(r))
	if err != nil {
		return r, fmt.Errorf("decrypting record %d of %s: %w", r.Number, r.Owner, err)
	}
	r.Data = data
	return r, nil
}

func (j *sealedJournal) Append(ctx context.Context, records ...journal.Record) error {
	sealed, err := j.seal(ctx, records)
	if err != nil {
		return err
	}
	return j.Journal.Append(ctx, sealed...)
}

func (j *sealedJournal) Stage(ctx context.Context, records ...journal.Record) journal.Pending {
	sealed, err := j.seal(ctx, records)
	if err != nil {
		return refused{err}
	}
	return j.Journal.Stage(ctx, sealed...)
}

func (j *sealedJournal) Read(ctx context.Context, owner journal.Owner, after int64, limit int) ([]journal.Record, error) {
	sealed, err := j.Journal.Read(ctx, owner, after, limit)
	if err != nil {
		return nil, err
	}
	records := make([]journal.Record, len(sealed))
	for i, r := range sealed {
		if records[i], err = j.unseal(ctx, r); err != nil {
			return nil, err
		}
	}
	return records, nil
}

func (j *sealedJournal) Follow(ctx context.Context, owner journal.Owner, after int64) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		for r, err := range j.Journal.Follow(ctx, owner, after) {
			if err == nil {
				r, err = j.unseal(ctx, r)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// refused is a staged append that never was.
type refused struct{ err error }

func (r refused) Wait(context.Context) error { return r.err }
