// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"safebeam.dev/safebeam/pkg/cli/request"
	"safebeam.dev/safebeam/pkg/cli/sandbox"
)

// Plugins are the programs that kubectl looks for on PATH, by their names, and
// the ones that it asks for completions of their arguments: of all but those below
// its own create, behind which it asks nobody.
func Plugins(streams genericiooptions.IOStreams) map[string]func() *cobra.Command {
	plugins := map[string]func() *cobra.Command{}
	for words, command := range map[string]func(path string, streams genericiooptions.IOStreams) *cobra.Command{
		"create turn":         newCreateTurn,
		"create conversation": newCreateConversation,
		"chat":                newChat,
		"sandbox":             sandbox.New,
	} {
		below, path := strings.ReplaceAll(words, " ", "-"), "kubectl "+words
		plugin := func() *cobra.Command { return standsAlone(path, command(path, streams), streams) }
		plugins["kubectl-"+below] = plugin
		if !strings.HasPrefix(words, "create ") {
			plugins["kubectl_complete-"+below] = func() *cobra.Command { return completionOf(plugin()) }
		}
	}
	return plugins
}

// Commands are those of safebeam: create turn, create conversation, chat,
// sandbox.
func Commands(streams genericiooptions.IOStreams) []*cobra.Command {
	create := &cobra.Command{
		Use:   "create",
		Short: "Create a turn or a conversation",
		Args:  request.SubcommandsOnly,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	create.AddCommand(newCreateTurn("safebeam create turn", streams), newCreateConversation("safebeam create conversation", streams))
	return []*cobra.Command{create, newChat("safebeam chat", streams), sandbox.New("safebeam sandbox", streams)}
}

// standsAlone makes a root command of a command, known to its user as path.
// The caller prints its error, once.
func standsAlone(path string, command *cobra.Command, streams genericiooptions.IOStreams) *cobra.Command {
	command.SetOut(streams.Out)
	command.SetErr(streams.ErrOut)
	command.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: path}
	command.SilenceUsage = true
	command.SilenceErrors = true
	// kubectl's own completion asks us; ours would be of a program that
	// nobody types.
	command.CompletionOptions.DisableDefaultCmd = true
	return command
}

// completionOf answers kubectl when it asks how a plugin's arguments could go
// on: the arguments so far come in, cobra's completions go out.
func completionOf(plugin *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:                "kubectl_complete",
		Hidden:             true,
		DisableFlagParsing: true,
		SilenceUsage:       true,
		SilenceErrors:      true,
		RunE: func(command *cobra.Command, args []string) error {
			plugin.SetArgs(append([]string{cobra.ShellCompRequestCmd}, args...))
			return plugin.ExecuteContext(command.Context())
		},
	}
}
