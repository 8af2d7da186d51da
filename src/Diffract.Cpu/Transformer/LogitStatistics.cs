using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Transformer;

/// <summary>What is asked of logits, a row at a time and in double: log Σ exp, argmax, -log p(target), KL between two models; and the soft-cap before.</summary>
static unsafe class LogitStatistics
{
    public static void SoftCap(WorkerPool pool, Matrix x, float cap)
    {
        Job job = new() { X = x.Floats, XStride = x.Stride, Columns = x.Columns, Cap = cap };
        pool.Run(x.Rows, &SoftCapTask, &job);
    }

    public static void Run(WorkerPool pool, Matrix logits_TV, ReadOnlySpan<int> targets, Span<double> logSumExp_T, Span<int> argmax_T, Span<double> nll_T)
    {
        fixed (int* target = targets, argmax = argmax_T)
        fixed (double* logSumExp = logSumExp_T, nll = nll_T)
        {
            Job job = new()
            {
                X = logits_TV.Floats,
                XStride = logits_TV.Stride,
                Columns = logits_TV.Columns,
                Target = target,
                Argmax = argmax,
                LogSumExp = logSumExp,
                Result = nll,
            };
            pool.Run(logits_TV.Rows, &StatisticsTask, &job);
        }
    }

    public static void Kl(WorkerPool pool, Matrix p_TV, Matrix q_TV, Span<double> kl_T)
    {
        fixed (double* kl = kl_T)
        {
            Job job = new() { X = p_TV.Floats, XStride = p_TV.Stride, Q = q_TV.Floats, QStride = q_TV.Stride, Columns = p_TV.Columns, Result = kl };
            pool.Run(p_TV.Rows, &KlTask, &job);
        }
    }

    static void SoftCapTask(void* state, int row, int worker)
    {
        Job* job = (Job*)state;
        float* x = job->X + row * job->XStride;
        Vector256<float> cap = Vector256.Create(job->Cap), inverse = Vector256.Create(1 / job->Cap);
        int v = 0;
        for (; v <= job->Columns - 8; v += 8)
        {
            (VectorMath.Tanh(Vector256.Load(x + v) * inverse) * cap).Store(x + v);
        }

        for (; v < job->Columns; v++)
        {
            x[v] = VectorMath.Tanh(Vector256.Create(x[v] / job->Cap)).GetElement(0) * job->Cap;
        }
    }

    static void StatisticsTask(void* state, int row, int worker)
    {
        Job* job = (Job*)state;
        float* x = job->X + row * job->XStride;
        float largest = Largest(x, job->Columns);
        double logSumExp = largest + Math.Log(SumExp(x, job->Columns, largest));
        job->LogSumExp[row] = logSumExp;
        job->Argmax[row] = Math.Max(0, new ReadOnlySpan<float>(x, job->Columns).IndexOf(largest));
        job->Result[row] = job->Target[row] >= 0 ? logSumExp - x[job->Target[row]] : double.NaN;
    }

    /// <summary>Σ p (log p - log q) = Σ e^(p - max p)·(p - q) / Σ e^(p - max p) - (log Σ e^p - log Σ e^q), p and q the logits.</summary>
    static void KlTask(void* state, int row, int worker)
    {
        Job* job = (Job*)state;
        float* p = job->X + row * job->XStride;
        float* q = job->Q + row * job->QStride;
        int n = job->Columns;
        float pMax = Largest(p, n), qMax = Largest(q, n);
        Vector256<double> shift = Vector256.Create((double)pMax);
        Vector256<double> sum0 = Vector256<double>.Zero, sum1 = sum0, weighted0 = sum0, weighted1 = sum0;
        int v = 0;
        for (; v <= n - 8; v += 8)
        {
            (Vector256<double> a0, Vector256<double> a1) = Vector256.Widen(Vector256.Load(p + v));
            (Vector256<double> b0, Vector256<double> b1) = Vector256.Widen(Vector256.Load(q + v));
            Vector256<double> e0 = VectorMath.Exp(a0 - shift), e1 = VectorMath.Exp(a1 - shift);
            sum0 += e0;
            sum1 += e1;
            weighted0 = Vector256.FusedMultiplyAdd(e0, a0 - b0, weighted0);
            weighted1 = Vector256.FusedMultiplyAdd(e1, a1 - b1, weighted1);
        }

        double total = VectorMath.Sum(sum0 + sum1), product = VectorMath.Sum(weighted0 + weighted1);
        for (; v < n; v++)
        {
            double e = Math.Exp((double)p[v] - pMax);
            total += e;
            product += e * ((double)p[v] - q[v]);
        }

        job->Result[row] = product / total - (pMax + Math.Log(total)) + (qMax + Math.Log(SumExp(q, n, qMax)));
    }

    static double SumExp(float* x, int n, float largest)
    {
        Vector256<double> shift = Vector256.Create((double)largest), sum0 = Vector256<double>.Zero, sum1 = sum0;
        int v = 0;
        for (; v <= n - 8; v += 8)
        {
            (Vector256<double> a0, Vector256<double> a1) = Vector256.Widen(Vector256.Load(x + v));
            sum0 += VectorMath.Exp(a0 - shift);
            sum1 += VectorMath.Exp(a1 - shift);
        }

        double total = VectorMath.Sum(sum0 + sum1);
        for (; v < n; v++)
        {
            total += Math.Exp((double)x[v] - largest);
        }

        return total;
    }

    static float Largest(float* x, int n)
    {
        Vector256<float> largest = Vector256.Create(float.NegativeInfinity);
        int v = 0;
        for (; v <= n - 8; v += 8)
        {
            largest = Vector256.MaxNative(largest, Vector256.Load(x + v));
        }

        float max = VectorMath.Max(largest);
        for (; v < n; v++)
        {
            max = Math.Max(max, x[v]);
        }

        return max;
    }

    struct Job
    {
        public float* X;
        public long XStride;
        public float* Q;
        public long QStride;
        public int Columns;
        public float Cap;
        public int* Target;
        public int* Argmax;
        public double* LogSumExp;
        public double* Result;
    }
}
