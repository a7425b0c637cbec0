// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package channels joins messaging platforms and conversations: what somebody
// writes becomes a turn, or goes to the agents that listen; what a turn answers
// goes back to where it was asked.
//
// Laws:
//   - Only those in spec.allowedSenders are heard. Who is not gets no answer,
//     not even that.
//   - A message that carries the platform's id becomes one turn, however often
//     the platform delivers it: the id makes the turn's name.
//   - The turn object is the record of what has to be said: it is labelled
//     pending until the job has said it, so neither a job nor a server that
//     goes away loses an answer. One may be said twice, under the same id, if
//     either dies in between. A job of the seed acknowledges nothing: what was
//     handed to its connection counts as said.
//   - Only text leaves, in the order in which the turns ended: no tool calls,
//     no thinking, no provider's error message.
//   - A channel has one stream; a new one takes over from the old one.
//   - Messages to agents are not kept: they go to who listens now. An agent
//     that does not take what is in its queue is sent away and the others are
//     served; if nobody takes a message, its sender is told.
package channels
