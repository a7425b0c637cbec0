// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package request

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Misused is the error of a command that was not called as it has to be. It says
// where that stands.
func Misused(command *cobra.Command, format string, args ...any) error {
	return fmt.Errorf("%w\nSee '%s --help' for usage and examples", fmt.Errorf(format, args...), command.CommandPath())
}

// OneName takes one argument, and says which.
func OneName(what string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return Misused(command, "%s is missing: %s", what, command.UseLine())
		case len(args) > 1:
			return Misused(command, "one %s is expected, not %q: quote what has spaces in it", what, args)
		}
		return nil
	}
}

// SubcommandsOnly is for commands that do nothing but have others below them.
func SubcommandsOnly(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	meant := ""
	command.SuggestionsMinimumDistance = 2 // cobra's, which it sets for itself too late for us
	if names := command.SuggestionsFor(args[0]); len(names) > 0 {
		meant = ": did you mean " + strings.Join(names, " or ") + "?"
	}
	return Misused(command, "unknown command %q for %q%s", args[0], command.CommandPath(), meant)
}

// Examples fills the command's name into its examples.
func Examples(text, path string) string {
	return strings.TrimPrefix(fmt.Sprintf(text, path), "\n")
}

// keepApart keeps flags that all commands have apart from those of one, which would
// be lost among them: as kubectl does, which shows them by kubectl options alone.
func keepApart(command *cobra.Command, common *pflag.FlagSet) {
	usage := command.UsageFunc()
	command.SetUsageFunc(func(command *cobra.Command) error {
		// Only here: completion leaves hidden flags out.
		hide := func(hidden bool) { common.VisitAll(func(flag *pflag.Flag) { flag.Hidden = hidden }) }
		hide(true)
		err := usage(command)
		hide(false)
		if err != nil {
			return err
		}
		text := "Global Flags:\n" + common.FlagUsages()
		if strings.HasPrefix(command.CommandPath(), "kubectl ") {
			text = "kubectl's flags for the server, the user and the namespace (-n) are there, too:\nsee kubectl options.\n"
		}
		_, err = fmt.Fprint(command.OutOrStderr(), "\n"+text)
		return err
	})
	command.SetFlagErrorFunc(func(command *cobra.Command, err error) error { return Misused(command, "%w", err) })
}
