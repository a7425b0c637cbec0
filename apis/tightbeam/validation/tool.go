// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"fmt"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/internal/check"
	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// toolName is what every provider takes, so that a tool still works on a fallback.
var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// toolChoices are words of toolChoice that name no tool.
var toolChoices = []string{"auto", "any", "none"}

func checkToolName(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "the name of the tool")}
	}
	if errs := check.Line(name, 64, path); len(errs) > 0 {
		return errs
	}
	if !toolName.MatchString(name) {
		return field.ErrorList{field.Invalid(path, name, "must be 1 to 64 letters, digits, '_' and '-'")}
	}
	return nil
}

func tools(tools []v1.Tool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(tools) > maxTools {
		errs = append(errs, field.TooMany(path, len(tools), maxTools))
	}
	seen := map[string]bool{}
	for i, tool := range tools {
		toolPath := path.Index(i)
		switch {
		case seen[tool.Name]:
			errs = append(errs, field.Duplicate(toolPath.Child("name"), tool.Name))
		case slices.Contains(toolChoices, tool.Name):
			errs = append(errs, field.Invalid(toolPath.Child("name"), tool.Name, "is a word of toolChoice: choose another name"))
		default:
			errs = append(errs, checkToolName(tool.Name, toolPath.Child("name"))...)
		}
		seen[tool.Name] = true
		errs = append(errs, check.Text(tool.Description, maxDescription*4, toolPath.Child("description"))...)
		errs = append(errs, check.Schema(tool.Parameters, maxSchema, toolPath.Child("parameters"))...)
	}
	return errs
}

// toolChoice can be held against the turn's own tools only; whether the
// conversation's have it is found out when the turn is created.
func toolChoice(choice string, tools []v1.Tool, path *field.Path) field.ErrorList {
	if choice == "" || slices.Contains(toolChoices, choice) {
		return nil
	}
	if errs := checkToolName(choice, path); len(errs) > 0 {
		return errs
	}
	if len(tools) == 0 {
		return nil
	}
	words := slices.Clone(toolChoices)
	for _, tool := range tools {
		words = append(words, tool.Name)
	}
	return check.OneOf(choice, path, words...)
}

// Depth refuses JSON that is nested deeper than what an object may carry: for what
// goes into a status, which is written past validation.
func Depth(data []byte) error {
	if depth := check.Depth(data); depth > check.MaxDepth {
		return fmt.Errorf("is nested %d deep: must be at most %d", depth, check.MaxDepth)
	}
	return nil
}

func toolCalls(calls []v1.ToolCall, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(calls) > maxTools {
		errs = append(errs, field.TooMany(path, len(calls), maxTools))
	}
	for i, call := range calls {
		callPath := path.Index(i)
		errs = append(errs, callID(call.ID, callPath.Child("id"))...)
		errs = append(errs, checkToolName(call.Name, callPath.Child("name"))...)
		_, inputErrs := check.Object(call.Input, maxToolInput, callPath.Child("input"))
		errs = append(errs, inputErrs...)
	}
	return errs
}

func callID(id string, path *field.Path) field.ErrorList {
	return check.Word(id, 256, "the id that ties a result to its call", path)
}

// answers checks that tool messages answer calls, as far as the list itself
// can tell: a call that is not in it may be in the history.
type answers struct {
	asked, answered map[string]int // call id → message
}

func answersOf(messages []v1.Message) answers {
	a := answers{asked: map[string]int{}, answered: map[string]int{}}
	for i, message := range messages {
		for _, call := range message.ToolCalls {
			if _, ok := a.asked[call.ID]; !ok {
				a.asked[call.ID] = i
			}
		}
	}
	return a
}

func (a answers) check(i int, id string, path *field.Path) field.ErrorList {
	if first, ok := a.answered[id]; ok {
		return field.ErrorList{field.Invalid(path, id, fmt.Sprintf("is answered by message %d already: send one result for each call", first))}
	}
	a.answered[id] = i
	if asked, ok := a.asked[id]; ok && asked > i {
		return field.ErrorList{field.Invalid(path, id, fmt.Sprintf("comes before its call in message %d: put the result after it", asked))}
	}
	return nil
}
