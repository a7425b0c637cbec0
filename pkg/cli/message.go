// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// maxInput bounds what is read of one file: what the server takes in one
// request. It has the last word.
const maxInput = 8 << 20

// imageTypes are what providers take.
var imageTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

// userMessage is one message of the user: texts, and images behind them.
func userMessage(texts, textFiles, images []string, stdin io.Reader) (*tightbeamv1.Message, error) {
	message := &tightbeamv1.Message{Role: tightbeamv1.RoleUser}
	for _, text := range texts {
		if strings.TrimSpace(text) == "" {
			return nil, errors.New("--message is empty")
		}
		message.Content = append(message.Content, tightbeamv1.ContentBlock{Text: &text})
	}
	for _, name := range textFiles {
		raw, err := readInput(name, stdin)
		if err != nil {
			return nil, fmt.Errorf("--message-file: %w", err)
		}
		text := strings.TrimRight(string(raw), "\r\n")
		switch {
		case !utf8.ValidString(text):
			return nil, fmt.Errorf("--message-file: %s is not text in UTF-8", name)
		case strings.TrimSpace(text) == "":
			return nil, fmt.Errorf("--message-file: %s is empty", name)
		}
		message.Content = append(message.Content, tightbeamv1.ContentBlock{Text: &text})
	}
	for _, name := range images {
		image, err := readImage(name, stdin)
		if err != nil {
			return nil, fmt.Errorf("--image: %w", err)
		}
		message.Content = append(message.Content, tightbeamv1.ContentBlock{Image: image})
	}
	if len(message.Content) == 0 {
		return nil, nil
	}
	return message, nil
}

func readImage(name string, stdin io.Reader) (*tightbeamv1.ImageBlock, error) {
	raw, err := readInput(name, stdin)
	if err != nil {
		return nil, err
	}
	// What the file is, not what its name says.
	mediaType := http.DetectContentType(raw)
	if !slices.Contains(imageTypes, mediaType) {
		return nil, fmt.Errorf("%s is %s, not one of %s", name, mediaType, strings.Join(imageTypes, ", "))
	}
	return &tightbeamv1.ImageBlock{MediaType: mediaType, Data: raw}, nil
}

func readInput(name string, stdin io.Reader) ([]byte, error) {
	input := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		input = file
	}
	raw, err := io.ReadAll(io.LimitReader(input, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(raw) > maxInput {
		return nil, fmt.Errorf("%s has more than %d MiB, which is the most that one request may carry", name, maxInput>>20)
	}
	return raw, nil
}
