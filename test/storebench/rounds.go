// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// runRounds measures the scenarios in interleaved rounds and prints a table and
// the figures of each.
func (b *bench) runRounds(ctx context.Context, all []scenario) error {
	contenders, err := b.openAll(ctx)
	if err != nil {
		return err
	}
	defer closeAll(contenders)
	for _, c := range contenders {
		fmt.Fprintf(b.out, "%s: %s\n", c.name, c.flags)
	}
	// The first writes of a fresh store make files and fill caches.
	for _, c := range contenders {
		drive(ctx, c, 16, b.duration/2, create(c, nil))
	}
	for _, s := range all {
		wanted := func(name string) bool {
			return s.name == name || strings.HasPrefix(s.name, name+"_") && !strings.Contains(name, "_")
		}
		if b.only != nil && !slices.ContainsFunc(b.only, wanted) {
			continue
		}
		if err := b.runScenario(ctx, s, contenders); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (b *bench) openAll(ctx context.Context) (contenders []*contender, err error) {
	for _, name := range b.names {
		c, err := b.openers[name](ctx, filepath.Join(b.dir, name))
		if err != nil {
			closeAll(contenders)
			return nil, err
		}
		contenders = append(contenders, c)
	}
	return contenders, nil
}

func closeAll(contenders []*contender) {
	for _, c := range contenders {
		c.close()
	}
}

func (b *bench) runScenario(ctx context.Context, s scenario, contenders []*contender) error {
	var taking []*contender
	states := map[string]any{}
	for _, c := range contenders {
		if c.name == nameKine && !s.kine {
			continue
		}
		taking = append(taking, c)
		if s.prepare == nil {
			continue
		}
		state, err := s.prepare(ctx, c)
		if err != nil {
			return fmt.Errorf("preparing %s: %w", c.name, err)
		}
		states[c.name] = state
	}
	samples := map[string][]sample{}
	for round := range b.rounds {
		for i := range taking {
			c := taking[(i+round)%len(taking)]
			samples[c.name] = append(samples[c.name], drive(ctx, c, s.workers, b.duration, s.op(c, states[c.name])))
		}
	}
	b.reportScenario(s.name, samples)
	return nil
}

// reportScenario prints one scenario. Ratios are those of the rounds.
func (b *bench) reportScenario(name string, samples map[string][]sample) {
	fmt.Fprintf(b.out, "\n%s, %d rounds of %v\n", name, b.rounds, b.duration)
	fmt.Fprintf(b.out, "  %-9s %10s %22s %9s %9s %10s %11s\n", "", "ops/s", "x etcd [min-max]", "p50 ms", "p99 ms", "p99 x etcd", "CPU us/op")
	for _, contender := range b.names {
		rounds := samples[contender]
		if len(rounds) == 0 {
			continue
		}
		of := func(value func(sample) float64) float64 { return median(each(rounds, value)) }
		speed, p50, p99, cpu := of(perSecond), of(p50ms), of(p99ms), of(cpuMicros)
		line := fmt.Sprintf("  %-9s %10.0f", contender, speed)
		prefix := b.prefix + name
		if contender != nameOurs {
			prefix += "_" + contender
		}
		b.figure(prefix+"_per_s", speed, "ops/s")
		b.figure(prefix+"_p50_ms", p50, "ms")
		b.figure(prefix+"_p99_ms", p99, "ms")
		b.figure(prefix+"_cpu_us", cpu, "us")
		if base := samples[nameEtcd]; contender != nameEtcd && len(base) > 0 {
			speeds := ratios(rounds, base, perSecond)
			p99s, cpus := ratios(rounds, base, p99ms), ratios(rounds, base, cpuMicros)
			line += fmt.Sprintf(" %8.2fx [%5.2f-%6.2f]", median(speeds), slices.Min(speeds), slices.Max(speeds))
			line += fmt.Sprintf(" %9.3f %9.3f %9.2fx %11.1f (%.2fx)", p50, p99, median(p99s), cpu, median(cpus))
			b.figure(prefix+"_ratio_etcd", median(speeds), "x")
			b.figure(prefix+"_p99_ratio_etcd", median(p99s), "x")
			b.figure(prefix+"_cpu_ratio_etcd", median(cpus), "x")
		} else {
			line += fmt.Sprintf(" %22s %9.3f %9.3f %10s %11.1f", "", p50, p99, "", cpu)
		}
		if syncs := of(func(s sample) float64 { return s.syncs }); syncs > 0 {
			line += fmt.Sprintf("  %.3f fsyncs/op", syncs)
			b.figure(b.prefix+"fsyncs_per_"+name, syncs, "fsyncs/op")
		}
		if failed := int64(sum(each(rounds, func(s sample) float64 { return float64(s.errors) }))); failed > 0 {
			line += fmt.Sprintf("  %d ERRORS", failed)
		}
		fmt.Fprintln(b.out, line)
	}
}

func perSecond(s sample) float64 { return s.perSecond }
func p50ms(s sample) float64     { return ms(s.p50) }
func p99ms(s sample) float64     { return ms(s.p99) }
func cpuMicros(s sample) float64 { return micros(s.cpu) }

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func each(samples []sample, value func(sample) float64) []float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = value(s)
	}
	return values
}

func sum(values []float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
}

// ratios are round by round.
func ratios(a, b []sample, value func(sample) float64) []float64 {
	var r []float64
	for i := range min(len(a), len(b)) {
		if base := value(b[i]); base > 0 {
			r = append(r, value(a[i])/base)
		}
	}
	if len(r) == 0 {
		return []float64{0}
	}
	return r
}
