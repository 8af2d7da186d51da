using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Compute.Reference;

/// <content>Layer norm, biases and activations.</content>
public sealed partial class ReferenceTransformerKernels
{
    public void LayerNorm(Matrix x_TD, Matrix weight_D, Matrix bias_D, float epsilon, Matrix out_TD)
    {
        TransformerShapes.LayerNorm(x_TD, weight_D, bias_D, out_TD);
        Span<float> w = weight_D.Row(0), b = bias_D.Row(0);
        for (int t = 0; t < x_TD.Rows; t++)
        {
            Span<float> x = x_TD.Row(t), result = out_TD.Row(t);
            double mean = 0, variance = 0;
            foreach (float value in x)
            {
                mean += value;
            }

            mean /= x.Length;
            foreach (float value in x)
            {
                variance += (value - mean) * (value - mean);
            }

            double scale = 1 / Math.Sqrt(variance / x.Length + epsilon);
            for (int d = 0; d < x.Length; d++)
            {
                result[d] = (float)((x[d] - mean) * scale * w[d] + b[d]);
            }
        }
    }

    public void AddBias(Matrix bias_N, Matrix y_TN)
    {
        TransformerShapes.Bias("add bias", bias_N, y_TN);
        Span<float> bias = bias_N.Row(0);
        for (int t = 0; t < y_TN.Rows; t++)
        {
            Span<float> y = y_TN.Row(t);
            for (int n = 0; n < y.Length; n++)
            {
                y[n] += bias[n];
            }
        }
    }

    public void Multiply(Matrix x_TD, Matrix y_TD)
    {
        TransformerShapes.Same("multiply", x_TD, y_TD);
        for (int t = 0; t < x_TD.Rows; t++)
        {
            Span<float> x = x_TD.Row(t), y = y_TD.Row(t);
            for (int d = 0; d < x.Length; d++)
            {
                y[d] *= x[d];
            }
        }
    }

    public void Activate(Matrix x_TD, Activation activation)
    {
        for (int t = 0; t < x_TD.Rows; t++)
        {
            foreach (ref float value in x_TD.Row(t))
            {
                value = (float)Activate((double)value, activation);
            }
        }
    }

    static double Activate(double x, Activation activation) => activation switch
    {
        Activation.GeluTanh => x * 0.5 * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
        Activation.Silu => x / (1 + Math.Exp(-x)),
        Activation.Gelu => x * NormalShare(x),
        _ => throw new ArgumentOutOfRangeException(nameof(activation), activation, "unknown activation"),
    };

    /// <summary>
    /// Φ(x) = ½ erfc(-x/√2), in double. Near 0 by the series of erf, Σ (-1)ⁿ z²ⁿ⁺¹/(n!(2n+1))·2/√π; in the tails by the continued fraction of erfc,
    /// e^(-z²)/√π · 1/(z + ½/(z + 1/(z + 1½/(z + …)))) (Abramowitz and Stegun 7.1.5, 7.1.14).
    /// </summary>
    static double NormalShare(double x)
    {
        double z = Math.Abs(x) / Math.Sqrt(2), tail;
        if (z < 2.5)
        {
            double term = z, sum = z;
            for (int n = 1; Math.Abs(term) > 1e-18 * sum; n++)
            {
                term *= -z * z / n;
                sum += term / (2 * n + 1);
            }

            tail = 0.5 - sum / Math.Sqrt(Math.PI);
        }
        else
        {
            double fraction = z;
            for (int n = 60; n > 0; n--)
            {
                fraction = z + n / 2.0 / fraction;
            }

            tail = 0.5 * Math.Exp(-z * z) / Math.Sqrt(Math.PI) / fraction;
        }

        return x < 0 ? tail : 1 - tail;
    }
}
