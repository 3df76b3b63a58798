// Dropout whose mask is a function of each member's key, as zoo/randomness.py and KeyedDropout have it.
#pragma once
#include "operation.hpp"

template <class T> struct Dropout : Operation<T> {
  typedef Vec<T> V;
  int key, kept_at; // which key; a map beside the output that holds 1 for each value that was kept
  double rate;
  Dropout(int in, int out, int key, int kept_at, double rate)
      : Operation<T>(in, out), key(key), kept_at(kept_at), rate(rate) {}

  static Wide shifted(Wide bits, int places) { return (bits >> places) & ((int64_t(1) << (64 - places)) - 1); }

  // SplitMix64's number at a place of each member's sequence, from 0 to 1 in steps of 2^-24.
  static Doubles uniform(Wide bits) {
    bits = (bits ^ shifted(bits, 30)) * -0x40A7B892E31B1A47ll;
    bits = (bits ^ shifted(bits, 27)) * -0x6B2FB644ECCEEE15ll;
    bits = bits ^ shifted(bits, 31);
    return __builtin_convertvector(shifted(bits, 40), Doubles) / double(1 << 24);
  }

  void forward(const Pass<T> &pass) override {
    const Map &from = pass.maps[this->in];
    Wide keys{};
    if (pass.training) std::memcpy(&keys, pass.keys[key], sizeof keys);
    for (int s = 0; s < pass.samples; s++) {
      const V *x = pass.value(this->in, s);
      V *y = pass.value(this->out, s), *kept = pass.value(kept_at, s);
      int64_t place = int64_t(pass.first + s) * from.values();
      each_value(from, pass.maps[this->out], [&](int i, int o) {
        if (!pass.training) {
          y[o] = x[i];
          return;
        }
        Doubles u = uniform(keys + int64_t(uint64_t(++place) * uint64_t(-0x61C8864680B583EBll)));
        Doubles mask = u >= double(float(rate)) ? Doubles{} + 1 : Doubles{};
        *kept = __builtin_convertvector(mask, V);
        y[o] = *kept != 0 ? x[i] / T(1 - rate) : V{};
        kept++;
      });
    }
  }

  void backward(const Pass<T> &pass) override {
    for (int s = 0; s < pass.samples; s++) {
      const V *dy = pass.slope(this->out, s), *kept = pass.value(kept_at, s);
      V *dx = pass.slope(this->in, s);
      each_value(pass.maps[this->in], pass.maps[this->out], [&](int i, int o) {
        dx[i] = *kept++ != 0 ? dy[o] / T(1 - rate) : V{};
      });
    }
  }
};
