// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

const namespace = "default"

// servers are the processes under measurement.
type servers struct {
	// bin has the programs, dir a directory for each server.
	bin, dir string
	provider *exec.Cmd
	// providerURL is where the fake provider answers.
	providerURL string
	// server is nil until it is started.
	server     *exec.Cmd
	kubeconfig string
	gateway    string
	api        string
	client     *http.Client
	direct     *http.Client
	config     *rest.Config
}

// start starts what every server of a run shares.
func start(bin, dir string) (*servers, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &servers{bin: bin, dir: dir, direct: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2000}}}
	if err := s.startProvider(); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *servers) startProvider() error {
	address := freeAddress()
	s.provider = exec.Command(filepath.Join(s.bin, "fakeprovider"), "-listen", address)
	s.provider.Stderr = os.Stderr
	if err := s.provider.Start(); err != nil {
		return fmt.Errorf("starting the fake provider: %w", err)
	}
	s.providerURL = "http://" + address
	return eventually(10*time.Second, func() error {
		response, err := s.direct.Get(s.providerURL + "/requests")
		if err == nil {
			response.Body.Close()
		}
		return err
	})
}

// startServer starts a server on an empty store.
func (s *servers) startServer(ctx context.Context, name string) error {
	dir := filepath.Join(s.dir, name)
	_, port, _ := net.SplitHostPort(freeAddress())
	s.gateway = freeAddress()
	s.kubeconfig = filepath.Join(dir, "kubeconfig")
	secret := filepath.Join(dir, "secrets", "fake")
	if err := os.MkdirAll(secret, 0o700); err != nil {
		return err
	}
	for key, value := range map[string]string{"provider": "openai", "model": "fake", "api-key": "sk-fake"} {
		if err := os.WriteFile(filepath.Join(secret, key), []byte(value), 0o600); err != nil {
			return err
		}
	}
	server := exec.Command(filepath.Join(s.bin, "safebeam"), "standalone",
		"--data-dir", filepath.Join(dir, "data"), "--secrets-dir", filepath.Join(dir, "secrets"), "--kubeconfig", s.kubeconfig,
		"--secure-port", port, "--gateway-address", s.gateway)
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		return err
	}
	s.server = server
	if err := eventually(30*time.Second, func() error {
		if _, err := os.Stat(s.kubeconfig); err != nil {
			return err
		}
		s.config, err = clientcmd.BuildConfigFromFlags("", s.kubeconfig)
		return err
	}); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("the server did not start: %w\n%s", err, text)
	}
	s.config.QPS = -1
	s.api = s.config.Host + "/apis/tightbeam.dev/v1/namespaces/" + namespace
	s.client, err = rest.HTTPClientFor(s.config)
	return err
}

func (s *servers) stop() {
	s.stopServer()
	end(s.provider)
}

func (s *servers) stopServer() {
	end(s.server)
	s.server = nil
}

func end(command *exec.Cmd) {
	if command == nil || command.Process == nil {
		return
	}
	_ = command.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = command.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		_ = command.Process.Kill()
		<-done
	}
}

func freeAddress() string {
	server := httptest.NewUnstartedServer(nil)
	defer server.Listener.Close()
	return server.Listener.Addr().String()
}

func eventually(limit time.Duration, try func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// create posts an object and returns the status code's error.
func (s *servers) create(ctx context.Context, resource string, object any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.api+"/"+resource, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusCreated {
		err = fmt.Errorf("creating one of %s: %s: %.300s", resource, response.Status, answer)
	}
	return err
}

type object map[string]any

// addModel makes a model on the fake provider that answers at a pace, with
// jobs kept warm, and waits until they are connected.
func (s *servers) addModel(ctx context.Context, name, pace string, jobs, turnsPerJob int) error {
	err := s.create(ctx, "tightbeammodels", object{
		"apiVersion": "tightbeam.dev/v1", "kind": "TightbeamModel", "metadata": object{"name": name},
		"spec": object{
			"provider": "openai", "model": pace, "secretName": "fake", "baseURL": s.providerURL + "/v1/", "wireFormat": "chat",
			"jobs": object{"min": jobs, "max": jobs, "turnsPerJob": turnsPerJob}, "idleTimeout": 3600,
		},
	})
	if err != nil {
		return err
	}
	return eventually(30*time.Second, func() error {
		response, err := s.client.Get(s.api + "/tightbeammodels/" + name)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		var model tightbeamv1.TightbeamModel
		if err := json.NewDecoder(response.Body).Decode(&model); err != nil {
			return err
		}
		if int(model.Status.ConnectedJobs) < jobs {
			return fmt.Errorf("model %s has %d of %d jobs: %+v", name, model.Status.ConnectedJobs, jobs, model.Status.Conditions)
		}
		return nil
	})
}

func (s *servers) addConversation(ctx context.Context, name, model string) error {
	return s.create(ctx, "conversations", object{
		"apiVersion": "tightbeam.dev/v1", "kind": "Conversation", "metadata": object{"name": name}, "spec": object{"model": model, "history": object{"maxMessages": 2}},
	})
}

func (s *servers) addTurn(ctx context.Context, name, conversation string) error {
	return s.create(ctx, "turns", object{
		"apiVersion": "tightbeam.dev/v1", "kind": "Turn", "metadata": object{"name": name},
		"spec": object{"conversation": conversation, "messages": []object{{"role": "user", "content": []object{{"text": "hello"}}}}},
	})
}

// events reads the events of a turn until see returns false or the stream ends.
func (s *servers) events(ctx context.Context, turn string, see func(event *tightbeamv1.TurnEvent, at time.Time) bool) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.api+"/turns/"+turn+"/log?follow=true", nil)
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return fmt.Errorf("log of %s: %s: %.300s", turn, response.Status, text)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(make([]byte, 64<<10), 8<<20)
	for lines.Scan() {
		at := time.Now()
		if len(lines.Bytes()) == 0 {
			continue
		}
		var event tightbeamv1.TurnEvent
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return err
		}
		if !see(&event, at) {
			return nil
		}
	}
	return lines.Err()
}

// complete reads a turn to its end and fails unless it succeeded.
func (s *servers) complete(ctx context.Context, turn string, see func(event *tightbeamv1.TurnEvent, at time.Time)) error {
	ended := errors.New("the stream ended before the turn")
	err := s.events(ctx, turn, func(event *tightbeamv1.TurnEvent, at time.Time) bool {
		if see != nil {
			see(event, at)
		}
		if event.Type.Terminal() {
			ended = nil
			if event.Type != tightbeamv1.TurnEventCompleted {
				ended = fmt.Errorf("turn %s: %s %+v %s", turn, event.Type, event.Error, event.Reason)
			}
		}
		return !event.Type.Terminal()
	})
	return errors.Join(err, ended)
}

// callProvider calls the fake provider as a job would, without anything in
// between, and tells when each delta came.
func (s *servers) callProvider(ctx context.Context, model string, see func(at time.Time) bool) error {
	body, _ := json.Marshal(object{"model": model, "stream": true, "messages": []object{{"role": "user", "content": "hello"}}})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.providerURL+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer sk-fake")
	response, err := s.direct.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return fmt.Errorf("provider: %s: %.300s", response.Status, text)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		at := time.Now()
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return err
		}
		if len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" && !see(at) {
			return nil
		}
	}
	return lines.Err()
}

// metric returns a value of the server's /metrics.
func (s *servers) metric(ctx context.Context, name string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.config.Host+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("/metrics has no %s", name)
}
