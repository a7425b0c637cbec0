// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/cli/request"
)

// conversationFlags are what a user may say about a conversation.
type conversationFlags struct {
	model, title, system string
	concurrencyPolicy    string
	maxQueuedTurns       int32
	maxMessages          int32
	ttl                  time.Duration
	forkFrom             string
}

var concurrencyPolicies = []string{
	string(tightbeamv1.ConcurrencyEnqueue), string(tightbeamv1.ConcurrencyReject),
	string(tightbeamv1.ConcurrencyInterrupt), string(tightbeamv1.ConcurrencyRollback),
}

func newCreateConversation(path string, streams genericiooptions.IOStreams) *cobra.Command {
	var f conversationFlags
	command := &cobra.Command{
		Use:     "conversation NAME --model=MODEL",
		Aliases: []string{"conv"},
		Short:   "Begin a conversation",
		Long: `Create a conversation: a history of messages that the server keeps, and the
model that answers in it.`,
		Example: request.Examples(`
  # Begin a conversation with a model
  %[1]s tea --model small

  # Give it a title and a system prompt, and forget it a day after its last turn
  %[1]s tea --model small --title "About tea" --system "You are brief." --ttl 24h

  # Go on from the fourth message of another one, without changing it
  %[1]s tea-2 --model large --fork-from tea@4`, path),
		Args:                  request.OneName("NAME"),
		DisableFlagsInUseLine: true,
	}
	target := request.AddTarget(command)
	creation := request.AddCreation(command)
	flags := command.Flags()
	flags.StringVar(&f.model, "model", "", "The TightbeamModel that answers.")
	flags.StringVar(&f.title, "title", "", "A title, for people.")
	flags.StringVar(&f.system, "system", "", "The system prompt.")
	flags.StringVar(&f.concurrencyPolicy, "concurrency-policy", "", "What a new turn does while one is unfinished: "+strings.Join(concurrencyPolicies, ", ")+".")
	flags.Int32Var(&f.maxQueuedTurns, "max-queued-turns", 0, "How many turns may wait. Default: 32.")
	flags.Int32Var(&f.maxMessages, "history-max-messages", 0, "Send no more than the newest messages to the provider.")
	flags.DurationVar(&f.ttl, "ttl", 0, "How long it is kept after its last turn. Default: for ever.")
	flags.StringVar(&f.forkFrom, "fork-from", "", "CONVERSATION or CONVERSATION@INDEX: begin with a copy of that log, up to the message of that index.")
	command.ValidArgsFunction = cobra.NoFileCompletions
	_ = command.RegisterFlagCompletionFunc("model", completeModels(target))
	_ = command.RegisterFlagCompletionFunc("fork-from", completeConversations(target))
	_ = command.RegisterFlagCompletionFunc("concurrency-policy", cobra.FixedCompletions(concurrencyPolicies, cobra.ShellCompDirectiveNoFileComp))

	command.RunE = func(command *cobra.Command, args []string) error {
		if err := creation.Validate(); err != nil {
			return err
		}
		namespace, err := target.Namespace()
		if err != nil {
			return err
		}
		conversation, err := f.conversation(namespace, args[0], flags.Changed)
		if err != nil {
			return err
		}
		if creation.ClientOnly() {
			return creation.Show(conversation, streams)
		}
		clients, err := target.Connect()
		if err != nil {
			return err
		}
		created, err := clients.TightbeamV1().Conversations(namespace).Create(command.Context(), conversation, creation.Options())
		if err != nil {
			return request.Explain(err)
		}
		return creation.Show(created, streams)
	}
	return command
}

// conversation is the object that the flags describe.
func (f *conversationFlags) conversation(namespace, name string, given func(flag string) bool) (*tightbeamv1.Conversation, error) {
	if err := request.ValidName("conversation", name); err != nil {
		return nil, err
	}
	if f.model == "" {
		return nil, errors.New("--model is missing: `kubectl get tightbeammodels` lists what there is")
	}
	conversation := &tightbeamv1.Conversation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: tightbeamv1.ConversationSpec{
			Model:             f.model,
			Title:             f.title,
			System:            f.system,
			ConcurrencyPolicy: tightbeamv1.ConcurrencyPolicy(f.concurrencyPolicy),
		},
	}
	if given("max-queued-turns") {
		conversation.Spec.MaxQueuedTurns = &f.maxQueuedTurns
	}
	if given("history-max-messages") {
		conversation.Spec.History = &tightbeamv1.History{MaxMessages: &f.maxMessages}
	}
	var err error
	if given("ttl") {
		if conversation.Spec.TTLSecondsAfterLastTurn, err = request.Seconds("--ttl", f.ttl, 0); err != nil {
			return nil, err
		}
	}
	if given("fork-from") {
		if conversation.Spec.ForkFrom, err = forkFrom(f.forkFrom); err != nil {
			return nil, err
		}
	}
	return conversation, nil
}

func forkFrom(text string) (*tightbeamv1.ForkFrom, error) {
	name, index, found := strings.Cut(text, "@")
	if err := request.ValidName("--fork-from", name); err != nil {
		return nil, err
	}
	fork := &tightbeamv1.ForkFrom{Conversation: name}
	if found {
		after, err := strconv.ParseInt(index, 10, 64)
		if err != nil || after < 0 {
			return nil, fmt.Errorf("--fork-from: %q is not the index of a message", index)
		}
		fork.AfterIndex = &after
	}
	return fork, nil
}
