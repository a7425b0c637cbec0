// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/cli/request"
	"safebeam.dev/safebeam/pkg/client"
	tightbeamclient "safebeam.dev/safebeam/pkg/generated/clientset/versioned/typed/tightbeam/v1"
)

const chatHelp = `Type a message and press Enter. A line that ends in \ goes on in the next one.
Ctrl-C cancels the answer that is being given; at the prompt it ends the chat.

  /image FILE      show a picture with the next message
  /model [NAME]    let another model answer from now on; without NAME, the conversation's
  /system [TEXT]   replace the system prompt from now on; without TEXT, the conversation's
  /log             show the conversation so far
  /help            show this
  /quit            end the chat; the conversation stays
`

func newChat(path string, streams genericiooptions.IOStreams) *cobra.Command {
	var model, system, agent string
	var showThinking bool
	command := &cobra.Command{
		Use:   "chat CONVERSATION",
		Short: "Talk in a conversation, line by line",
		Long: `Talk in a conversation: a line in, an answer out, as it comes. With --model, a
conversation that does not exist is begun.

` + chatHelp,
		Example: request.Examples(`
  # Go on with a conversation
  %[1]s tea

  # Begin one
  %[1]s tea --model small

  # Ask several questions from a file
  %[1]s tea < questions.txt`, path),
		Args:                  request.OneName("CONVERSATION"),
		DisableFlagsInUseLine: true,
	}
	target := request.AddTarget(command)
	flags := command.Flags()
	flags.StringVar(&model, "model", "", "The TightbeamModel that answers. Default: the conversation's.")
	flags.StringVar(&system, "system", "", "Replace the conversation's system prompt.")
	flags.StringVar(&agent, "agent", "", "Who the answers are by, in conversations of several agents.")
	flags.BoolVar(&showThinking, "show-thinking", false, "Show the model's reasoning, as far as the provider does.")
	command.ValidArgsFunction = request.First(completeConversations(target))
	_ = command.RegisterFlagCompletionFunc("model", completeModels(target))

	command.RunE = func(command *cobra.Command, args []string) error {
		if err := request.ValidName("conversation", args[0]); err != nil {
			return err
		}
		namespace, err := target.Namespace()
		if err != nil {
			return err
		}
		clients, err := target.Connect()
		if err != nil {
			return err
		}
		c := &chat{
			clients: clients.TightbeamV1(), streams: streams, namespace: namespace, conversation: args[0],
			model: model, agent: agent, showThinking: showThinking, prompt: printers.IsTerminal(streams.In),
		}
		if flags.Changed("system") {
			c.system = &system
		}
		// Ctrl-C is the chat's own: it must not end what is under way here.
		ctx := context.WithoutCancel(command.Context())
		if err := c.ensure(ctx); err != nil {
			return request.Explain(err)
		}
		interrupts := make(chan os.Signal, 1)
		signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(interrupts)
		return request.Explain(c.run(ctx, interrupts))
	}
	return command
}

// chat is one session.
type chat struct {
	clients      tightbeamclient.TightbeamV1Interface
	streams      genericiooptions.IOStreams
	namespace    string
	conversation string

	model        string
	system       *string
	agent        string
	showThinking bool
	// prompt: somebody types.
	prompt bool
	// images go with the next message.
	images []string
}

// ensure makes sure that the conversation exists.
func (c *chat) ensure(ctx context.Context) error {
	_, err := c.clients.Conversations(c.namespace).Get(ctx, c.conversation, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	if c.model == "" {
		return fmt.Errorf("conversation %q does not exist in namespace %q: give --model to begin it", c.conversation, c.namespace)
	}
	conversation := &tightbeamv1.Conversation{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: c.conversation},
		Spec:       tightbeamv1.ConversationSpec{Model: c.model},
	}
	_, err = c.clients.Conversations(c.namespace).Create(ctx, conversation, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	c.note("began conversation %s", c.conversation)
	return nil
}

// run reads and answers until the input ends. With a person in front of it, a
// turn that fails is told and the chat goes on; a script's chat ends there.
func (c *chat) run(ctx context.Context, interrupts <-chan os.Signal) error {
	// It stays blocked in its read when the chat is left by Ctrl-C; the
	// process ends then.
	lines := readLines(c.streams.In)
	for {
		if c.prompt {
			fmt.Fprint(c.streams.ErrOut, "> ")
		}
		var line input
		select {
		case <-interrupts:
			fmt.Fprintln(c.streams.ErrOut)
			return nil
		case line = <-lines:
		}
		if line.text != "" {
			quit, err := c.do(ctx, line.text, interrupts)
			if quit {
				return nil
			}
			if err != nil && !c.prompt {
				return err
			}
			if err != nil {
				c.note("%v", request.Explain(err))
			}
		}
		if line.err != nil {
			if c.prompt {
				fmt.Fprintln(c.streams.ErrOut)
			}
			if errors.Is(line.err, io.EOF) {
				return nil
			}
			return fmt.Errorf("reading the next line: %w", line.err)
		}
	}
}

// do does what a line asks for.
func (c *chat) do(ctx context.Context, line string, interrupts <-chan os.Signal) (quit bool, err error) {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "/quit", "/exit", "/q":
		return true, nil
	case "/help", "/?":
		fmt.Fprint(c.streams.ErrOut, chatHelp)
		return false, nil
	case "/model":
		c.model = rest
		if rest == "" {
			c.note("the conversation's own model answers")
		} else {
			c.note("model %s answers", rest)
		}
		return false, nil
	case "/system":
		c.system = nil
		if rest != "" {
			c.system = &rest
		}
		c.note("the system prompt is changed for this chat")
		return false, nil
	case "/image":
		if rest == "" || rest == "-" {
			return false, errors.New("/image needs the name of a file")
		}
		if _, err := readImage(rest, nil); err != nil {
			return false, fmt.Errorf("/image: %w", err)
		}
		c.images = append(c.images, rest)
		c.note("%s goes with the next message", rest)
		return false, nil
	case "/log":
		return false, c.log(ctx)
	}
	if strings.HasPrefix(line, "/") {
		return false, fmt.Errorf("%s is no command here, see /help; a message that begins with a slash needs a space before it", word)
	}
	return false, c.say(ctx, line, interrupts)
}

// say sends a message and shows the answer. An interrupt cancels the turn,
// whose end is then shown like any other.
func (c *chat) say(ctx context.Context, text string, interrupts <-chan os.Signal) error {
	message, err := userMessage([]string{text}, nil, c.images, nil)
	if err != nil {
		return err
	}
	turn := &tightbeamv1.Turn{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: request.NewName(c.conversation)},
		Spec: tightbeamv1.TurnSpec{
			Conversation: c.conversation,
			Messages:     []tightbeamv1.Message{*message},
			Model:        c.model,
			System:       c.system,
			Agent:        c.agent,
		},
	}
	watched, stop := context.WithCancel(ctx)
	defer stop()
	answer := expect(watched, c.clients, turn)
	turn, _, err = createTurn(ctx, c.clients, turn, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	c.images = nil

	ended := make(chan error, 1)
	go func() {
		ended <- followTurn(watched, c.clients, turn, answer, newRenderer(c.streams.Out, c.streams.ErrOut, c.showThinking))
	}()
	for interrupted := false; ; {
		select {
		case err := <-ended:
			var failed *TurnFailedError
			if interrupted && errors.As(err, &failed) && failed.Phase == tightbeamv1.TurnCancelled {
				c.note("cancelled")
				return nil
			}
			return err
		case <-interrupts:
			if interrupted {
				// Twice: whoever presses it does not want to wait.
				stop()
				<-ended
				return errors.New("left the turn; its cancellation is under way")
			}
			interrupted = true
			if err := cancelTurn(ctx, c.clients, turn); err != nil {
				c.note("cancelling the turn: %v", err)
			}
		}
	}
}

func cancelTurn(ctx context.Context, clients tightbeamclient.TightbeamV1Interface, turn *tightbeamv1.Turn) error {
	return clients.RESTClient().Post().
		Namespace(turn.Namespace).Resource("turns").Name(turn.Name).SubResource("cancel").
		Do(ctx).Error()
}

// log shows the conversation so far.
func (c *chat) log(ctx context.Context) error {
	for entry, err := range client.Log(ctx, c.clients.RESTClient(), c.namespace, c.conversation, 0) {
		if err != nil {
			return err
		}
		who := string(entry.Role)
		if entry.Agent != "" {
			who += " " + entry.Agent
		}
		text := textOf(&tightbeamv1.Message{Content: entry.Content})
		for _, block := range entry.Content {
			if block.Image != nil {
				text += " [" + block.Image.MediaType + "]"
			}
		}
		for _, call := range entry.ToolCalls {
			text += " [tool call " + call.ID + "] " + call.Name
		}
		fmt.Fprintf(c.streams.Out, "%s: %s\n", who, strings.TrimSpace(request.Printable(text)))
	}
	return nil
}

func (c *chat) note(format string, args ...any) {
	fmt.Fprintf(c.streams.ErrOut, "["+format+"]\n", args...)
}

// input is a line, or a last one with the error that ended the input.
type input struct {
	text string
	err  error
}

// readLines reads lines; one that ends in a backslash goes on in the next.
func readLines(r io.Reader) <-chan input {
	lines := make(chan input)
	go func() {
		reader := bufio.NewReader(r)
		for {
			text, err := readLine(reader)
			lines <- input{text, err}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

func readLine(r *bufio.Reader) (string, error) {
	var text strings.Builder
	for {
		part, err := r.ReadString('\n')
		part = strings.TrimRight(part, "\r\n")
		more := strings.HasSuffix(part, `\`)
		text.WriteString(strings.TrimSuffix(part, `\`))
		switch {
		case text.Len() > maxInput:
			return "", fmt.Errorf("a message of more than %d MiB", maxInput>>20)
		case err != nil || !more:
			return strings.TrimRight(text.String(), " \t\n"), err
		}
		text.WriteByte('\n')
	}
}
