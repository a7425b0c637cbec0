// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turn

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericregistry "k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/util/dryrun"

	"safebeam.dev/safebeam/apis/tightbeam/printing"
	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/registry/access"
	"safebeam.dev/safebeam/pkg/registry/generic"
	"safebeam.dev/safebeam/pkg/registry/stream"
)

// Config is what the storage needs of its server.
type Config struct {
	Scheme     *runtime.Scheme
	Authorizer authorizer.Authorizer
	// Conversations and Models read what turns name.
	Conversations, Models rest.Getter
	// WrapStorage puts the claiming of positions around the storage of turns,
	// which are kept below prefix. It lies below the dry-run layer. Nil: turns
	// have no position.
	WrapStorage func(inner storage.Interface, prefix string) storage.Interface
	// Admits tells a dry run whether the conversation would take the turn now.
	// It may be nil.
	Admits    func(ctx context.Context, conversation *v1.Conversation, turn *v1.Turn) error
	Events    Events
	Canceller Canceller
	Streams   *stream.Server
}

// REST serves turns.
type REST struct {
	*registry.Store
	authorizer authorizer.Authorizer
	related    related
	admits     func(ctx context.Context, conversation *v1.Conversation, turn *v1.Turn) error
}

var (
	_ rest.StandardStorage    = &REST{}
	_ rest.CategoriesProvider = &REST{}
)

// Storages are those of turns and of their subresources.
type Storages struct {
	Turn   *REST
	Status *generic.StatusREST
	Log    *LogREST
	Stream *LogREST
	Cancel *CancelREST
}

// NewStorages returns the storages of turns.
func NewStorages(config Config, options genericregistry.RESTOptionsGetter) (*Storages, error) {
	related := related{conversations: config.Conversations, models: config.Models}
	strategy := newStrategy(config.Scheme, related)
	store := &registry.Store{
		NewFunc:                   func() runtime.Object { return &v1.Turn{} },
		NewListFunc:               func() runtime.Object { return &v1.TurnList{} },
		DefaultQualifiedResource:  v1.Resource("turns"),
		SingularQualifiedResource: v1.Resource("turn"),
		CreateStrategy:            strategy,
		UpdateStrategy:            strategy,
		DeleteStrategy:            strategy,
		ResetFieldsStrategy:       strategy,
		TableConvertor:            printing.Turns(),
	}
	options = generic.Wrapped(options, func(inner storage.Interface, prefix string) storage.Interface {
		inner = generic.NameTooLarge(inner, prefix)
		if config.WrapStorage != nil {
			inner = config.WrapStorage(inner, prefix)
		}
		return inner
	})
	if err := store.CompleteWithOptions(&genericregistry.StoreOptions{RESTOptions: options, AttrFunc: generic.Attrs(v1.TurnFields), Indexers: generic.IndexedBy("spec.conversation", conversationOf)}); err != nil {
		return nil, err
	}
	turns := &REST{store, config.Authorizer, related, config.Admits}
	return &Storages{
		Turn:   turns,
		Status: generic.NewStatusREST(store, newStatusStrategy(strategy)),
		Log:    &LogREST{turns: turns, events: config.Events, streams: config.Streams, follow: false},
		Stream: &LogREST{turns: turns, events: config.Events, streams: config.Streams, follow: true},
		Cancel: newCancelREST(turns, config.Canceller),
	}, nil
}

// conversationOf is by what turns are looked for most.
func conversationOf(turn *v1.Turn) string { return turn.Spec.Conversation }

// Categories holds all resources of the project.
func (*REST) Categories() []string { return []string{"safebeam"} }

// Create makes a turn.
func (r *REST) Create(ctx context.Context, obj runtime.Object, createValidation rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	turn := obj.(*v1.Turn)
	ctx = remembering(ctx)
	// Before anything is told that was looked up: who may not use a conversation
	// does not learn whether it exists.
	model := r.modelToBe(ctx, turn)
	if err := r.mayUse(ctx, turn, model); err != nil {
		return nil, err
	}
	created, err := r.Store.Create(ctx, turn, generic.OnCreate(createValidation, func(ctx context.Context, obj runtime.Object) error {
		if turn := obj.(*v1.Turn); turn.Status.Model != model {
			if err := r.mayUse(ctx, turn, turn.Status.Model); err != nil {
				return err
			}
		}
		if err := r.maySay(ctx, obj.(*v1.Turn), nil); err != nil {
			return err
		}
		if dryrun.IsDryRun(options.DryRun) {
			return r.admit(ctx, obj.(*v1.Turn))
		}
		return nil
	}), options)
	if !apierrors.IsAlreadyExists(err) {
		return created, err
	}
	existing, getErr := r.Get(ctx, turn.Name, &metav1.GetOptions{})
	if getErr != nil {
		return nil, err
	}
	return nil, alreadyExists(turn, existing.(*v1.Turn))
}

// Update changes the metadata of a turn, or makes the one that server-side
// apply finds missing.
func (r *REST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return generic.UpdateOrCreate(ctx, r, r.Store.Update, r.DefaultQualifiedResource, name, objInfo, createValidation,
		generic.OnUpdate(updateValidation, func(ctx context.Context, obj, old runtime.Object) error {
			return r.maySay(ctx, obj.(*v1.Turn), old.(*v1.Turn))
		}), forceAllowCreate, options)
}

// maySay asks for the channel that a turn's answer is to be said on, if the
// request has it said there: its labels are all that this takes. old is nil if
// the turn is new.
func (r *REST) maySay(ctx context.Context, turn, old *v1.Turn) error {
	if turn.Labels[v1.LabelReply] != v1.ReplyPending {
		return nil
	}
	if old != nil && old.Labels[v1.LabelReply] == v1.ReplyPending && old.Labels[v1.LabelChannel] == turn.Labels[v1.LabelChannel] &&
		old.Annotations[v1.AnnotationReplyAddress] == turn.Annotations[v1.AnnotationReplyAddress] {
		return nil
	}
	return access.Require(ctx, r.authorizer, r.DefaultQualifiedResource, turn.Name, access.Wish{
		Field: field.NewPath("metadata", "labels").Key(v1.LabelChannel), Verb: "get",
		Resource:  v1.SchemeGroupVersion.WithResource("tightbeamchannels"),
		Namespace: turn.Namespace, Name: turn.Labels[v1.LabelChannel],
	})
}

// admit asks what the storage would ask if it were meant.
func (r *REST) admit(ctx context.Context, turn *v1.Turn) error {
	conversation, err := r.related.conversation(ctx, turn)
	if err != nil || conversation == nil || r.admits == nil {
		return err
	}
	return r.admits(ctx, conversation, turn)
}

// modelToBe is the model that a turn will begin on as things are, "" if that is
// not known.
func (r *REST) modelToBe(ctx context.Context, turn *v1.Turn) string {
	conversation, err := r.related.conversation(ctx, turn)
	if err != nil || conversation == nil {
		return ""
	}
	return modelOf(turn, conversation)
}

// mayUse asks for the conversation of a turn, and for the model. What is not
// named, validation refuses.
func (r *REST) mayUse(ctx context.Context, turn *v1.Turn, model string) error {
	var wishes []access.Wish
	use := func(fieldName, resource, name string) {
		if name != "" {
			wishes = append(wishes, access.Use(field.NewPath("spec", fieldName), v1.SchemeGroupVersion.WithResource(resource), turn.Namespace, name))
		}
	}
	use("conversation", "conversations", turn.Spec.Conversation)
	use("model", "tightbeammodels", model)
	return access.Require(ctx, r.authorizer, r.DefaultQualifiedResource, turn.Name, wishes...)
}
