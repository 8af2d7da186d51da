using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Compute.Reference;

/// <summary>The oracle of the language model's operations: float32 in and out, double between.</summary>
public sealed partial class ReferenceTransformerKernels : ITransformerKernels
{
    public void Embed(ReadOnlySpan<int> ids, Matrix table_VD, float scale, Matrix out_TD)
    {
        TransformerShapes.Embed(ids, table_VD, out_TD);
        double[] row = new double[table_VD.Columns];
        for (int t = 0; t < ids.Length; t++)
        {
            Widen(table_VD, ids[t], row);
            Span<float> result = out_TD.Row(t);
            for (int d = 0; d < row.Length; d++)
            {
                result[d] = (float)(row[d] * scale);
            }
        }
    }

    public void RmsNorm(Matrix x_TD, Matrix weight_D, float offset, float epsilon, Matrix out_TD)
    {
        TransformerShapes.Norm(x_TD, weight_D, out_TD);
        Span<float> w = weight_D.Row(0);
        for (int t = 0; t < x_TD.Rows; t++)
        {
            for (int head = 0; head < x_TD.Columns / w.Length; head++)
            {
                Span<float> x = Head(x_TD, t, head, w.Length), result = Head(out_TD, t, head, w.Length);
                double scale = InverseRms(x, epsilon);
                for (int d = 0; d < x.Length; d++)
                {
                    result[d] = (float)(x[d] * scale * ((double)offset + w[d]));
                }
            }
        }
    }

    public void AddRmsNorm(Matrix x_TD, Matrix weight_D, float offset, float epsilon, Matrix y_TD)
    {
        TransformerShapes.Norm(x_TD, weight_D, y_TD);
        Span<float> w = weight_D.Row(0);
        for (int t = 0; t < x_TD.Rows; t++)
        {
            for (int head = 0; head < x_TD.Columns / w.Length; head++)
            {
                Span<float> x = Head(x_TD, t, head, w.Length), y = Head(y_TD, t, head, w.Length);
                double scale = InverseRms(x, epsilon);
                for (int d = 0; d < x.Length; d++)
                {
                    y[d] = (float)(y[d] + x[d] * scale * ((double)offset + w[d]));
                }
            }
        }
    }

    public void Add(Matrix x_TD, Matrix y_TD)
    {
        TransformerShapes.Same("add", x_TD, y_TD);
        for (int t = 0; t < x_TD.Rows; t++)
        {
            Span<float> x = x_TD.Row(t), y = y_TD.Row(t);
            for (int d = 0; d < x.Length; d++)
            {
                y[d] += x[d];
            }
        }
    }

    public void Copy(Matrix x_TD, Matrix y_TD)
    {
        TransformerShapes.Same("copy", x_TD, y_TD);
        for (int t = 0; t < x_TD.Rows; t++)
        {
            x_TD.Row(t).CopyTo(y_TD.Row(t));
        }
    }

    public void GatherRows(Matrix x_TD, ReadOnlySpan<int> rows, Matrix out_RD)
    {
        TransformerShapes.Gather(x_TD, rows, out_RD);
        for (int r = 0; r < rows.Length; r++)
        {
            x_TD.Row(rows[r]).CopyTo(out_RD.Row(r));
        }
    }

    public void MatMul(Matrix x_TK, Matrix weight_NK, Matrix out_TN)
    {
        TransformerShapes.MatMul(x_TK, weight_NK, out_TN);
        double[] w = new double[weight_NK.Columns];
        for (int n = 0; n < weight_NK.Rows; n++)
        {
            Widen(weight_NK, n, w);
            for (int t = 0; t < x_TK.Rows; t++)
            {
                out_TN.Row(t)[n] = (float)Dot(x_TK.Row(t), w);
            }
        }
    }

    public void Rope(Matrix x_TD, int headWidth, ReadOnlySpan<int> positions, Matrix cosSin_PR)
    {
        TransformerShapes.Rope(x_TD, headWidth, positions, cosSin_PR);
        int half = cosSin_PR.Columns / 2;
        for (int t = 0; t < x_TD.Rows; t++)
        {
            Span<float> cosSin = cosSin_PR.Row(positions[t]);
            for (int head = 0; head < x_TD.Columns / headWidth; head++)
            {
                Span<float> x = x_TD.Row(t).Slice(head * headWidth, headWidth);
                for (int i = 0; i < half; i++)
                {
                    double a = x[i], b = x[i + half], cos = cosSin[i], sin = cosSin[i + half];
                    x[i] = (float)(a * cos - b * sin);
                    x[i + half] = (float)(b * cos + a * sin);
                }
            }
        }
    }

    public void Attention(Matrix q_TD, Matrix k_SD, Matrix v_SD, ReadOnlySpan<SequenceSpan> sequences, in AttentionShape shape, Matrix out_TD)
    {
        TransformerShapes.Attention(q_TD, k_SD, v_SD, sequences, shape, out_TD);
        int group = shape.Heads / shape.KeyValueHeads;
        foreach (SequenceSpan sequence in sequences)
        {
            for (int i = 0; i < sequence.Length; i++)
            {
                int last = sequence.KeyLength - sequence.Length + i;
                int first = shape.Window > 0 ? Math.Max(0, last - shape.Window + 1) : 0;
                for (int head = 0; head < shape.Heads; head++)
                {
                    Span<float> q = Head(q_TD, sequence.QueryRow + i, head, shape.HeadWidth);
                    double[] p = new double[last - first + 1];
                    for (int s = first; s <= last; s++)
                    {
                        p[s - first] = Cap(shape.Scale * Dot(q, Head(k_SD, sequence.KeyRow + s, head / group, shape.HeadWidth)), shape.SoftCap);
                    }

                    Softmax(p);
                    Span<float> result = Head(out_TD, sequence.QueryRow + i, head, shape.HeadWidth);
                    for (int h = 0; h < shape.HeadWidth; h++)
                    {
                        double sum = 0;
                        for (int s = first; s <= last; s++)
                        {
                            sum += p[s - first] * Head(v_SD, sequence.KeyRow + s, head / group, shape.HeadWidth)[h];
                        }

                        result[h] = (float)sum;
                    }
                }
            }
        }
    }

    public void GatedMlp(Matrix x_TD, Matrix gate_FD, Matrix up_FD, Matrix down_DF, Activation activation, Matrix out_TD)
    {
        TransformerShapes.GatedMlp(x_TD, gate_FD, up_FD, down_DF, out_TD);
        int inner = gate_FD.Rows;
        double[] w = new double[gate_FD.Columns];
        double[,] hidden_TF = new double[x_TD.Rows, inner];
        for (int f = 0; f < inner; f++)
        {
            Widen(gate_FD, f, w);
            for (int t = 0; t < x_TD.Rows; t++)
            {
                hidden_TF[t, f] = Activate(Dot(x_TD.Row(t), w), activation);
            }

            Widen(up_FD, f, w);
            for (int t = 0; t < x_TD.Rows; t++)
            {
                hidden_TF[t, f] *= Dot(x_TD.Row(t), w);
            }
        }

        double[] down = new double[inner];
        for (int d = 0; d < down_DF.Rows; d++)
        {
            Widen(down_DF, d, down);
            for (int t = 0; t < x_TD.Rows; t++)
            {
                double sum = 0;
                for (int f = 0; f < inner; f++)
                {
                    sum += hidden_TF[t, f] * down[f];
                }

                out_TD.Row(t)[d] = (float)sum;
            }
        }
    }

    public void SoftCap(Matrix x, float cap)
    {
        for (int t = 0; t < x.Rows; t++)
        {
            foreach (ref float value in x.Row(t))
            {
                value = (float)Cap(value, cap);
            }
        }
    }

    public void LogitStatistics(Matrix logits_TV, ReadOnlySpan<int> targets, Span<double> logSumExp_T, Span<int> argmax_T, Span<double> nll_T)
    {
        TransformerShapes.Statistics(logits_TV, targets.Length, logSumExp_T.Length, argmax_T.Length, nll_T.Length);
        for (int t = 0; t < logits_TV.Rows; t++)
        {
            Span<float> logits = logits_TV.Row(t);
            int best = 0;
            for (int v = 1; v < logits.Length; v++)
            {
                best = logits[v] > logits[best] ? v : best;
            }

            argmax_T[t] = best;
            logSumExp_T[t] = LogSumExp(logits);
            nll_T[t] = targets[t] >= 0 ? logSumExp_T[t] - logits[targets[t]] : double.NaN;
        }
    }

    public void KlDivergence(Matrix p_TV, Matrix q_TV, Span<double> kl_T)
    {
        TransformerShapes.Kl(p_TV, q_TV, kl_T.Length);
        for (int t = 0; t < p_TV.Rows; t++)
        {
            Span<float> p = p_TV.Row(t), q = q_TV.Row(t);
            double pNorm = LogSumExp(p), qNorm = LogSumExp(q), kl = 0;
            for (int v = 0; v < p.Length; v++)
            {
                double logP = p[v] - pNorm, logQ = q[v] - qNorm;
                kl += Math.Exp(logP) * (logP - logQ);
            }

            kl_T[t] = kl;
        }
    }

    static double InverseRms(ReadOnlySpan<float> x, float epsilon)
    {
        double squares = 0;
        foreach (float value in x)
        {
            squares += (double)value * value;
        }

        return 1 / Math.Sqrt(squares / x.Length + epsilon);
    }

    static double Cap(double x, float cap) => cap > 0 ? cap * Math.Tanh(x / cap) : x;

    static void Softmax(Span<double> scores)
    {
        double max = double.NegativeInfinity, sum = 0;
        foreach (double s in scores)
        {
            max = Math.Max(max, s);
        }

        foreach (ref double s in scores)
        {
            s = Math.Exp(s - max);
            sum += s;
        }

        foreach (ref double s in scores)
        {
            s /= sum;
        }
    }

    static double LogSumExp(ReadOnlySpan<float> logits)
    {
        double max = double.NegativeInfinity, sum = 0;
        foreach (float l in logits)
        {
            max = Math.Max(max, l);
        }

        foreach (float l in logits)
        {
            sum += Math.Exp(l - max);
        }

        return max + Math.Log(sum);
    }

    static double Dot(ReadOnlySpan<float> a, ReadOnlySpan<double> b)
    {
        double sum = 0;
        for (int i = 0; i < b.Length; i++)
        {
            sum += a[i] * b[i];
        }

        return sum;
    }

    static double Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double sum = 0;
        for (int i = 0; i < b.Length; i++)
        {
            sum += (double)a[i] * b[i];
        }

        return sum;
    }

    static Span<float> Head(Matrix m, int row, int head, int width) => m.Row(row).Slice(head * width, width);

    static unsafe void Widen(Matrix m, int row, Span<double> target)
    {
        if (m.Type == ElementType.Float32)
        {
            Span<float> source = m.Row(row);
            for (int i = 0; i < target.Length; i++)
            {
                target[i] = source[i];
            }

            return;
        }

        ushort* bits = (ushort*)((HostBuffer)m.Buffer).Pointer + m.Offset + (long)row * m.Stride;
        for (int i = 0; i < target.Length; i++)
        {
            target[i] = BFloat16.ToSingle(bits[i]);
        }
    }
}
