// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/internal/check"
	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// messages validates the new messages of a turn. That there are none is not
// wrong in itself: the history decides.
func messages(messages []v1.Message, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(messages) > maxMessages {
		errs = append(errs, field.TooMany(path, len(messages), maxMessages))
	}
	answers := answersOf(messages)
	calls := map[string]bool{}
	for i := range messages {
		message, messagePath := &messages[i], path.Index(i)
		errs = append(errs, checkMessage(message, messagePath)...)
		for j, call := range message.ToolCalls {
			if calls[call.ID] {
				errs = append(errs, field.Duplicate(messagePath.Child("toolCalls").Index(j).Child("id"), call.ID))
			}
			calls[call.ID] = true
		}
		if message.Role == v1.RoleTool && message.ToolCallID != "" {
			errs = append(errs, answers.check(i, message.ToolCallID, messagePath.Child("toolCallID"))...)
		}
	}
	return errs
}

func checkMessage(message *v1.Message, path *field.Path) field.ErrorList {
	errs := check.OneOf(message.Role, path.Child("role"), v1.RoleUser, v1.RoleAssistant, v1.RoleTool, v1.RoleSystem)
	if len(errs) > 0 {
		return errs
	}
	contentPath := path.Child("content")
	for i := range message.Content {
		errs = append(errs, block(&message.Content[i], message.Role, contentPath.Index(i))...)
	}
	switch message.Role {
	case v1.RoleUser, v1.RoleSystem:
		if len(message.Content) == 0 {
			errs = append(errs, field.Required(contentPath, "a message says something: add a block such as {text: ...}"))
		}
	case v1.RoleAssistant:
		if len(message.Content) == 0 && len(message.ToolCalls) == 0 {
			errs = append(errs, field.Required(contentPath, "an assistant's message has content or toolCalls"))
		}
	case v1.RoleTool:
		errs = append(errs, callID(message.ToolCallID, path.Child("toolCallID"))...)
	}
	errs = append(errs, roleFields(message, path)...)
	errs = append(errs, toolCalls(message.ToolCalls, path.Child("toolCalls"))...)
	return append(errs, check.Agent(message.Agent, path.Child("agent"))...)
}

// roleFields refuses what means nothing in a message of this role.
func roleFields(message *v1.Message, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if message.Role != v1.RoleAssistant && len(message.ToolCalls) > 0 {
		errs = append(errs, field.Forbidden(path.Child("toolCalls"), "is for the role assistant: only the model calls tools"))
	}
	if message.Role != v1.RoleTool && message.ToolCallID != "" {
		errs = append(errs, field.Forbidden(path.Child("toolCallID"), "is for the role tool: only a tool's result answers a call"))
	}
	if message.Role != v1.RoleTool && message.IsError {
		errs = append(errs, field.Forbidden(path.Child("isError"), "is for the role tool: only a tool reports a failure"))
	}
	return errs
}

func block(block *v1.ContentBlock, role v1.Role, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	set := 0
	if block.Text != nil {
		set++
		if *block.Text == "" && role != v1.RoleTool {
			errs = append(errs, field.Required(path.Child("text"), "no provider takes an empty text: leave the block out"))
		}
		errs = append(errs, check.Text(*block.Text, maxText, path.Child("text"))...)
	}
	if block.Image != nil {
		set++
		if role != v1.RoleUser && role != v1.RoleTool {
			errs = append(errs, field.Forbidden(path.Child("image"), "is for the roles user and tool"))
		}
		errs = append(errs, image(block.Image, path.Child("image"))...)
	}
	if block.Thinking != nil {
		set++
		if role != v1.RoleAssistant {
			errs = append(errs, field.Forbidden(path.Child("thinking"), "is for the role assistant"))
		}
		errs = append(errs, check.Text(*block.Thinking, maxText, path.Child("thinking"))...)
	}
	if block.Native != nil {
		set++
		if role != v1.RoleAssistant {
			errs = append(errs, field.Forbidden(path.Child("native"), "is for the role assistant"))
		}
		errs = append(errs, native(block.Native, path.Child("native"))...)
	}
	if set != 1 {
		errs = append(errs, field.Invalid(path, field.OmitValueType{}, "must be exactly one of text, image, thinking and native: use one block for each"))
	}
	return errs
}

func native(native *v1.NativeBlock, path *field.Path) field.ErrorList {
	errs := check.OneOf(native.Provider, path.Child("provider"), providers...)
	errs = append(errs, check.Line(native.Model, maxModelID, path.Child("model"))...)
	switch {
	case len(native.Data) == 0:
		errs = append(errs, field.Required(path.Child("data"), "the block as the provider sent it"))
	case !json.Valid(native.Data):
		errs = append(errs, field.Invalid(path.Child("data"), field.OmitValueType{}, "must be JSON, in base64: the block as the provider sent it"))
	}
	return errs
}
