// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/cli/request"
	"safebeam.dev/safebeam/pkg/client"
	tightbeamclient "safebeam.dev/safebeam/pkg/generated/clientset/versioned/typed/tightbeam/v1"
)

// turnFlags are what a user may say about a turn.
type turnFlags struct {
	name         string
	messages     []string
	messageFiles []string
	images       []string
	system       string
	model        string
	agent        string
	maxTokens    int32
	deadline     time.Duration
	ttl          time.Duration
	follow       bool
	showThinking bool
}

func newCreateTurn(path string, streams genericiooptions.IOStreams) *cobra.Command {
	var f turnFlags
	command := &cobra.Command{
		Use:   "turn CONVERSATION --message=TEXT",
		Short: "Ask something in a conversation",
		Long: `Create a turn: a message to a conversation, which its model answers.

The turn runs on the server, whether anybody watches or not. With --follow the
answer is shown as it comes, and the command fails if the turn does; Ctrl-C
leaves the turn running.`,
		Example: request.Examples(`
  # Ask, and read the answer as it comes
  %[1]s tea --message "How long does green tea draw?" --follow

  # Ask about a file and a picture
  %[1]s tea --message "What is this?" --message-file notes.txt --image leaf.png --follow

  # Take the question from standard input, and let another model answer
  git diff | %[1]s review --message-file - --model large --follow

  # Ask once, however often this is run
  %[1]s tea --name first-question --message "Which tea is best?"

  # See what would be sent
  %[1]s tea --message hello --dry-run=client -o yaml`, path),
		Args:                  request.OneName("CONVERSATION"),
		DisableFlagsInUseLine: true,
	}
	target := request.AddTarget(command)
	creation := request.AddCreation(command)
	flags := command.Flags()
	flags.StringArrayVarP(&f.messages, "message", "m", nil, "What to say. May be repeated.")
	flags.StringArrayVar(&f.messageFiles, "message-file", nil, "A file with what to say, - for standard input. May be repeated.")
	flags.StringArrayVar(&f.images, "image", nil, "A picture to show: png, jpeg, gif or webp. May be repeated.")
	flags.StringVar(&f.name, "name", "", "The turn's name, which is also its idempotency key. Default: made up from the conversation's.")
	flags.StringVar(&f.system, "system", "", "Replace the conversation's system prompt.")
	flags.StringVar(&f.model, "model", "", "The TightbeamModel to ask. Default: the conversation's.")
	flags.StringVar(&f.agent, "agent", "", "Who the answer is by, in conversations of several agents.")
	flags.Int32Var(&f.maxTokens, "max-tokens", 0, "The most tokens that the answer may have. Default: the model's.")
	flags.DurationVar(&f.deadline, "deadline", 0, "The time until the turn must have ended. Default: 10m0s.")
	flags.DurationVar(&f.ttl, "ttl", 0, "How long the turn is kept after its end. Default: the server's.")
	flags.BoolVar(&f.follow, "follow", false, "Show the answer as it comes.")
	flags.BoolVar(&f.showThinking, "show-thinking", false, "With --follow: show the model's reasoning, as far as the provider does.")
	command.ValidArgsFunction = request.First(completeConversations(target))
	_ = command.RegisterFlagCompletionFunc("model", completeModels(target))

	command.RunE = func(command *cobra.Command, args []string) error {
		if err := creation.Validate(); err != nil {
			return err
		}
		if f.follow && (creation.Chosen() || creation.Dry()) {
			return errors.New("--follow shows the answer, --output and --dry-run the object: choose one of them")
		}
		namespace, err := target.Namespace()
		if err != nil {
			return err
		}
		turn, err := f.turn(namespace, args[0], flags.Changed, streams)
		if err != nil {
			return err
		}
		if creation.ClientOnly() {
			return creation.Show(turn, streams)
		}
		clients, err := target.Connect()
		if err != nil {
			return err
		}
		var answer *client.Expected
		if f.follow {
			answer = expect(command.Context(), clients.TightbeamV1(), turn)
			defer answer.Close()
		}
		created, existed, err := createTurn(command.Context(), clients.TightbeamV1(), turn, creation.Options())
		if err != nil {
			return request.Explain(err)
		}
		if existed {
			creation.Done("unchanged")
		}
		if !f.follow {
			return creation.Show(created, streams)
		}
		fmt.Fprintf(streams.ErrOut, "turn.tightbeam.dev/%s %s\n", created.Name, creation.Word())
		err = followTurn(command.Context(), clients.TightbeamV1(), created, answer, newRenderer(streams.Out, streams.ErrOut, f.showThinking))
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("interrupted; the turn goes on, see `kubectl get turn %s -n %s`", created.Name, namespace)
		}
		return request.Explain(err)
	}
	return command
}

// turn is the object that the flags describe.
func (f *turnFlags) turn(namespace, conversation string, given func(flag string) bool, streams genericiooptions.IOStreams) (*tightbeamv1.Turn, error) {
	if err := request.ValidName("conversation", conversation); err != nil {
		return nil, err
	}
	message, err := userMessage(f.messages, f.messageFiles, f.images, streams.In)
	if err != nil {
		return nil, err
	}
	turn := &tightbeamv1.Turn{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: f.name},
		Spec: tightbeamv1.TurnSpec{
			Conversation: conversation,
			Agent:        f.agent,
			Model:        f.model,
		},
	}
	if turn.Name == "" {
		turn.Name = request.NewName(conversation)
	}
	if err := request.ValidName("--name", turn.Name); err != nil {
		return nil, err
	}
	switch {
	case message != nil:
		turn.Spec.Messages = []tightbeamv1.Message{*message}
	case f.agent == "":
		// Only an agent can answer what a router turn has asked already.
		return nil, errors.New("nothing to say: give --message, --message-file or --image")
	}
	if given("system") {
		turn.Spec.System = &f.system
	}
	if given("max-tokens") {
		turn.Spec.MaxTokens = &f.maxTokens
	}
	if given("deadline") {
		if turn.Spec.DeadlineSeconds, err = request.Seconds("--deadline", f.deadline, 1); err != nil {
			return nil, err
		}
	}
	if given("ttl") {
		if turn.Spec.TTLSecondsAfterFinished, err = request.Seconds("--ttl", f.ttl, 0); err != nil {
			return nil, err
		}
	}
	return turn, nil
}

// causeSameContent is how the API says of a name that is taken that the turn
// of that name asks the same.
const causeSameContent metav1.CauseType = "SameContent"

// createTurn creates the turn. One of its name that asks the same is as good:
// it is what an earlier request made.
func createTurn(ctx context.Context, client tightbeamclient.TightbeamV1Interface, turn *tightbeamv1.Turn, options metav1.CreateOptions) (created *tightbeamv1.Turn, existed bool, err error) {
	turns := client.Turns(turn.Namespace)
	created, err = request.Again(ctx, func() (*tightbeamv1.Turn, error) { return turns.Create(ctx, turn, options) })
	if apierrors.IsAlreadyExists(err) && apierrors.HasStatusCause(err, causeSameContent) {
		created, err = turns.Get(ctx, turn.Name, metav1.GetOptions{})
		return created, true, err
	}
	return created, false, err
}

// expect opens the stream of a turn that is about to be created.
func expect(ctx context.Context, clients tightbeamclient.TightbeamV1Interface, turn *tightbeamv1.Turn) *client.Expected {
	return client.Expect(ctx, clients.RESTClient(), turn.Namespace, turn.Name)
}

// followTurn shows the answer of a turn to its end. A turn that does not succeed
// is a *TurnFailedError.
func followTurn(ctx context.Context, clients tightbeamclient.TightbeamV1Interface, turn *tightbeamv1.Turn, answer *client.Expected, show *renderer) error {
	if why := unready(ctx, clients, turn); why != "" {
		show.note("waiting for the model %s, which is not ready: %s", turn.Status.Model, why)
	}
	for event, err := range answer.Events() {
		if err != nil {
			show.endLine()
			return err
		}
		if err := show.event(turn.Name, event); err != nil {
			return err
		}
	}
	return nil
}

// unready says why the model that a turn waits for cannot answer, if it says so
// itself. Who may not read models waits without knowing.
func unready(ctx context.Context, clients tightbeamclient.TightbeamV1Interface, turn *tightbeamv1.Turn) string {
	if turn.Status.Phase != tightbeamv1.TurnQueued {
		return ""
	}
	model, err := clients.TightbeamModels(turn.Namespace).Get(ctx, turn.Status.Model, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	ready := meta.FindStatusCondition(model.Status.Conditions, "Ready")
	if ready == nil || ready.Status != metav1.ConditionFalse {
		return ""
	}
	return ready.Message
}
