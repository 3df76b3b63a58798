// Convolutions (linear layers are convolutions of maps of one pixel), pooling, activations, dropout.
#pragma once
#include <map>

#include "operation.hpp"

template <class T> struct Convolution : Operation<T> {
  typedef Vec<T> V;
  static constexpr int32_t BYTES = sizeof(V);
  Map from, to;
  int kernel, weight, bias; // where they begin; -1 without a bias
  bool across;              // whether the samples lie side by side in one product: where maps are too small by themselves
  Table rows_of_weight, rows_of_output, inputs_of_weight, inputs, taps, channels;
  Columns tap_columns;
  std::map<int, Columns> in_out, out_in; // by the number of samples in one product

  Convolution(int in, int out, const Map &from, const Map &to, int kernel, int stride, int padding, int weight, int bias)
      : Operation<T>(in, out), from(from), to(to), kernel(kernel), weight(weight), bias(bias), stride(stride), padding(padding) {
    int area = kernel * kernel;
    across = to.height * to.width < 4;
    for (int o = 0; o < to.channels; o++) {
      rows_of_weight.push_back(o * from.channels * area * BYTES);
      rows_of_output.push_back(o * to.plane() * BYTES);
    }
    for (int c = 0; c < from.channels; c++) {
      channels.push_back(c * area * BYTES);
      inputs.push_back(c * from.plane() * BYTES);
      for (int i = 0; i < kernel; i++)
        for (int j = 0; j < kernel; j++) {
          inputs_of_weight.push_back(((c * kernel + i) * kernel + j) * BYTES);
          taps.push_back((c * from.plane() + i * from.row() + j) * BYTES);
        }
    }
    tap_columns = Columns(taps, inputs_of_weight, BYTES);
  }

  // Offsets of the pixels of some samples: in the input (of a window's first tap), and in the output.
  const Columns &pixels(int samples, bool inward) {
    auto &known = inward ? in_out : out_in;
    auto found = known.find(samples);
    if (found != known.end()) return found->second;
    Table x, y;
    for (int s = 0; s < samples; s++)
      for (int v = 0; v < to.height; v++)
        for (int u = 0; u < to.width; u++) {
          x.push_back((s * from.size() + from.at(0, v * stride - padding, u * stride - padding)) * BYTES);
          y.push_back((s * to.size() + to.at(0, v, u)) * BYTES);
        }
    return known[samples] = inward ? Columns(x, y, BYTES) : Columns(y, x, BYTES);
  }

  void forward(const Pass<T> &pass) override {
    int step = across ? pass.samples : 1;
    const Columns &c = pixels(step, true);
    const V *b = bias < 0 ? nullptr : pass.weights + bias;
    for (int s = 0; s < pass.samples; s += step) {
      Product<V> p{(const char *)(pass.weights + weight), (const char *)pass.value(this->in, s),
                   (char *)pass.value(this->out, s), rows_of_weight.data(), inputs_of_weight.data(), taps.data(),
                   rows_of_output.data(), to.channels, int(taps.size()), b, false};
      multiply(p, c);
    }
  }

  void backward(const Pass<T> &pass) override {
    int step = across ? pass.samples : 1;
    const Columns &inward = pixels(step, true), &outward = pixels(step, false);
    if (this->slopes) this->clear(pass);
    for (int s = 0; s < pass.samples; s += step) {
      const V *slopes = pass.slope(this->out, s);
      to_weights(pass, s, slopes, inward);
      if (this->slopes) to_inputs(pass, s, slopes, outward);
    }
  }

private:
  int stride, padding;

  void to_weights(const Pass<T> &pass, int s, const V *slopes, const Columns &c) {
    Product<V> p{(const char *)slopes, (const char *)pass.value(this->in, s), (char *)(pass.gradients + weight),
                 rows_of_output.data(), c.y.data(), c.x.data(), rows_of_weight.data(), to.channels, int(c.x.size()),
                 nullptr, true};
    multiply(p, tap_columns);
    if (bias < 0) return;
    for (int o = 0; o < to.channels; o++) {
      V sum{};
      for (int32_t pixel : c.y) sum += *(const V *)((const char *)slopes + rows_of_output[o] + pixel);
      pass.gradients[bias + o] += sum;
    }
  }

  // Each tap gives every pixel's slopes back to where it looked: nothing is multiplied in vain.
  void to_inputs(const Pass<T> &pass, int s, const V *slopes, const Columns &c) {
    for (int tap = 0; tap < kernel * kernel; tap++) {
      Product<V> p{(const char *)(pass.weights + weight) + tap * BYTES, (const char *)slopes,
                   (char *)pass.slope(this->in, s) + taps[tap], channels.data(), rows_of_weight.data(),
                   rows_of_output.data(), inputs.data(), from.channels, to.channels, nullptr, true};
      multiply(p, c);
    }
  }
};

// Largest value of each window of `size` by `size`; the first one of several.
template <class T> struct Pooling : Operation<T> {
  typedef Vec<T> V;
  Map from, to;
  int size;
  int chosen; // a map beside the output that holds which value of a window was the largest
  Pooling(int in, int out, int chosen, const Map &from, const Map &to, int size)
      : Operation<T>(in, out), from(from), to(to), size(size), chosen(chosen) {}

  void forward(const Pass<T> &pass) override {
    for (int s = 0; s < pass.samples; s++) {
      const V *x = pass.value(this->in, s);
      V *y = pass.value(this->out, s), *which = pass.value(chosen, s);
      const Map &beside = pass.maps[chosen];
      for (int c = 0; c < to.channels; c++)
        for (int v = 0; v < to.height; v++)
          for (int u = 0; u < to.width; u++) {
            const V *window = x + from.at(c, v * size, u * size);
            V largest = window[0], place{};
            for (int i = 0; i < size; i++)
              for (int j = i ? 0 : 1; j < size; j++) {
                V other = window[i * from.row() + j];
                auto take = (other > largest) | (other != other);
                largest = take ? other : largest;
                place = take ? V{} + T(i * size + j) : place;
              }
            y[to.at(c, v, u)] = largest;
            which[beside.at(c, v, u)] = place;
          }
    }
  }

  void backward(const Pass<T> &pass) override {
    bool covered = to.height * size == from.height && to.width * size == from.width;
    if (!covered) this->clear(pass);
    for (int s = 0; s < pass.samples; s++) {
      V *dx = pass.slope(this->in, s);
      const V *dy = pass.slope(this->out, s), *which = pass.value(chosen, s);
      const Map &beside = pass.maps[chosen];
      for (int c = 0; c < to.channels; c++)
        for (int v = 0; v < to.height; v++)
          for (int u = 0; u < to.width; u++) {
            V slope = dy[to.at(c, v, u)], place = which[beside.at(c, v, u)];
            V *window = dx + from.at(c, v * size, u * size);
            for (int i = 0; i < size; i++)
              for (int j = 0; j < size; j++) {
                V *target = window + i * from.row() + j;
                *target = place == T(i * size + j) ? slope : V{};
              }
          }
    }
  }
};

enum Kind { RELU, TANH, SIGMOID, SILU, GELU };

// An activation. Those whose derivative can be told from the result work in place: `in` and `out` are one map.
template <class T, int KIND> struct Activation : Operation<T> {
  typedef Vec<T> V;
  using Operation<T>::Operation;
  static constexpr double HALF_ROOT = 0.70710678118654752440, DENSITY = 0.39894228040143267794;

  static V apply(V x) {
    if constexpr (KIND == RELU) return x < 0 ? V{} : x;
    if constexpr (KIND == TANH) return hyperbolic_tangent<T>(x);
    if constexpr (KIND == SIGMOID) return sigmoid<T>(x);
    if constexpr (KIND == SILU) return x * sigmoid<T>(x);
    return x * (error_function<T>(x * T(HALF_ROOT)) + 1) * T(0.5);
  }

  static V derivative(V x, V y) {
    if constexpr (KIND == RELU) return y <= 0 ? V{} : V{} + 1;
    if constexpr (KIND == TANH) return 1 - y * y;
    if constexpr (KIND == SIGMOID) return y * (1 - y);
    if constexpr (KIND == SILU) {
      V s = sigmoid<T>(x);
      return s * (1 + x * (1 - s));
    }
    return (error_function<T>(x * T(HALF_ROOT)) + 1) * T(0.5) + x * exponential<T>(x * x * T(-0.5)) * T(DENSITY);
  }

  void forward(const Pass<T> &pass) override {
    for (int s = 0; s < pass.samples; s++) {
      const V *x = pass.value(this->in, s);
      V *y = pass.value(this->out, s);
      each_value(pass.maps[this->in], pass.maps[this->out], [&](int i, int o) { y[o] = apply(x[i]); });
    }
  }

  void backward(const Pass<T> &pass) override {
    for (int s = 0; s < pass.samples; s++) {
      const V *x = pass.value(this->in, s), *y = pass.value(this->out, s), *dy = pass.slope(this->out, s);
      V *dx = pass.slope(this->in, s);
      each_value(pass.maps[this->in], pass.maps[this->out], [&](int i, int o) {
        dx[i] = dy[o] * derivative(x[i], y[o]);
      });
    }
  }
};
