// Sixteen members side by side: the vector types, and the functions that activations are made of.
//
// Functions of one value are those of the Cephes library (S. Moshier), whose errors are a few units in
// the last place. What is not a number stays so, because that is how a diverged member is known.
#pragma once
#include <cmath>
#include <cstdint>

constexpr int LANES = 16;

template <class T> struct Lanes;
template <> struct Lanes<float> {
  typedef float V __attribute__((vector_size(64), aligned(64)));
  typedef int32_t I __attribute__((vector_size(64), aligned(64)));
};
template <> struct Lanes<double> {
  typedef double V __attribute__((vector_size(128), aligned(64)));
  typedef int64_t I __attribute__((vector_size(128), aligned(64)));
};
typedef int64_t Wide __attribute__((vector_size(128), aligned(64)));
typedef double Doubles __attribute__((vector_size(128), aligned(64)));
template <class T> using Vec = typename Lanes<T>::V;

template <class T> inline Vec<T> all(double value) { return Vec<T>{} + T(value); }

template <class T> inline Vec<T> square_root(Vec<T> x) {
  Vec<T> y;
  for (int lane = 0; lane < LANES; lane++) y[lane] = std::sqrt(x[lane]);
  return y;
}

template <class V> inline V polynomial(V) { return V{}; }
template <class V, class... Rest> inline V polynomial(V x, double highest, Rest... rest) {
  V y = V{} + decltype(x[0] + 0)(highest);
  ((y = y * x + decltype(x[0] + 0)(rest)), ...);
  return y;
}

template <class T> inline Vec<T> exponential(Vec<T> x) {
  constexpr bool wide = sizeof(T) == 8;
  constexpr T highest = wide ? 709 : 88, lowest = wide ? -708 : -87, magic = wide ? 6755399441055744.0 : 12582912;
  x = x > highest ? all<T>(highest) : x;
  x = x < lowest ? all<T>(lowest) : x;
  Vec<T> n = (x * T(1.4426950408889634073599) + magic) - magic;
  auto scale = __builtin_convertvector(n, typename Lanes<T>::I);
  scale = (scale + (wide ? 1023 : 127)) << (wide ? 52 : 23);
  Vec<T> y;
  if constexpr (wide) {
    x = x - n * 6.93145751953125E-1 - n * 1.42860682030941723212E-6;
    Vec<T> z = x * x;
    Vec<T> p = x * polynomial(z, 1.26177193074810590878E-4, 3.02994407707441961300E-2, 9.99999999999999999910E-1);
    Vec<T> q = polynomial(z, 3.00198505138664455042E-6, 2.52448340349684104192E-3, 2.27265548208155028766E-1, 2.0);
    y = 1 + 2 * (p / (q - p));
  } else {
    x = x - n * 0.693359375f - n * -2.12194440e-4f;
    y = polynomial(x, 1.9875691500E-4, 1.3981999507E-3, 8.3334519073E-3, 4.1665795894E-2, 1.6666665459E-1,
                   5.0000001201E-1);
    y = y * (x * x) + x + 1;
  }
  return y * (Vec<T>)scale;
}

template <class T> inline Vec<T> absolute(Vec<T> x) { return x < 0 ? -x : x; }

template <class T> inline Vec<T> sigmoid(Vec<T> x) { return 1 / (1 + exponential<T>(-x)); }

template <class T> inline Vec<T> hyperbolic_tangent(Vec<T> x) {
  Vec<T> z = x * x, small;
  if constexpr (sizeof(T) == 8) {
    Vec<T> p = polynomial(z, -9.64399179425052238628E-1, -9.92877231001918586564E1, -1.61468768441708447952E3);
    Vec<T> q = polynomial(z, 1.0, 1.12811678491632931402E2, 2.23548839060100448583E3, 4.84406305325125486048E3);
    small = x + x * z * (p / q);
  } else {
    small = x + x * z * polynomial(z, -5.70498872745E-3, 2.06390887954E-2, -5.37397155531E-2, 1.33314422036E-1,
                                   -3.33332819422E-1);
  }
  Vec<T> size = absolute<T>(x), large = 1 - 2 / (exponential<T>(2 * size) + 1);
  large = x < 0 ? -large : large;
  return size < T(0.625) ? small : large;
}

template <class T> inline Vec<T> error_function(Vec<T> x) {
  Vec<T> z = x * x, size = absolute<T>(x);
  Vec<T> small = x * polynomial(z, 9.60497373987051638749E0, 9.00260197203842689217E1, 2.23200534594684319226E3,
                                7.00332514112805075473E3, 5.55923013010394962768E4);
  small = small / polynomial(z, 1.0, 3.35617141647503099647E1, 5.21357949780152679795E2, 4.59432382970980127987E3,
                             2.26290000613890934246E4, 4.92673942608635921086E4);
  Vec<T> u = size > 8 ? all<T>(8) : size;
  Vec<T> rest = polynomial(u, 2.46196981473530512524E-10, 5.64189564831068821977E-1, 7.46321056442269912687E0,
                           4.86371970985681366614E1, 1.96520832956077098242E2, 5.26445194995477358631E2,
                           9.34528527171957607540E2, 1.02755188689515710272E3, 5.57535335369399327526E2);
  rest = rest / polynomial(u, 1.0, 1.32281951154744992508E1, 8.67072140885989742329E1, 3.54937778887819891062E2,
                           9.75708501743205489753E2, 1.82390916687909736289E3, 2.24633760818710981792E3,
                           1.65666309194161350182E3, 5.57535340817727675546E2);
  Vec<T> large = 1 - exponential<T>(-u * u) * rest;
  large = x < 0 ? -large : large;
  return size < 1 ? small : large;
}
