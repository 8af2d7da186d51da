using System.Numerics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// Decoupled codes: the code of each model is selected by an encode of its own, the union keeps for each pair the models in which it is active, and what reads
/// the code sums over the columns of those models only. Beside the kernels of whole codes, which it leaves as they are.
/// </summary>
sealed unsafe class ByModel(EncodeSelect encode, CodeOrders orders) : IDisposable
{
    const int LatentsPerTask = 16;

    /// <summary>Pairs gathered at a time.</summary>
    const int Piece = 256;

    SparseCode[] _codes = [];
    HostBuffer _scale = new(ElementType.Float32, 16);

    public void Dispose()
    {
        foreach (SparseCode code in _codes)
        {
            code.Dispose();
        }

        _scale.Dispose();
    }

    public void Encode(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix norms_LM, int[] modelOffsets, ReadOnlySpan<Selection> byModel, SparseCode code)
    {
        int models = byModel.Length, latents = wEnc_LE.Rows;
        if (_codes.Length != models || _codes[0].MaxTokens < acts_BE.Rows || _codes[0].Latents != latents)
        {
            foreach (SparseCode old in _codes)
            {
                old.Dispose();
            }

            _codes = [.. Enumerable.Range(0, models).Select(_ => new SparseCode(acts_BE.Rows, latents, 16))];
        }

        Matrix scale_L = new(Scratch.Grow(ref _scale, latents), 1, latents, latents);
        int most = 0;
        for (int m = 0; m < models; m++)
        {
            for (int j = 0; j < latents; j++)
            {
                scale_L.Floats[j] = norms_LM.Floats[(nint)j * norms_LM.Stride + m];
            }

            encode.Run(acts_BE, wEnc_LE, bEnc_L, scale_L, byModel[m], _codes[m]);
            most = checked(most + _codes[m].Pairs);
        }

        code.Tokens = acts_BE.Rows;
        code.Reserve(most);
        code.Decouple(modelOffsets);
        Merge(code);
        orders.TokensFromLatents(code);
        code.SmallestScaled = float.PositiveInfinity;
        for (int m = 0; m < models; m++)
        {
            code.SmallestByModel[m] = _codes[m].SmallestScaled;
            code.SmallestScaled = Math.Min(code.SmallestScaled, _codes[m].SmallestScaled);
        }
    }

    public static void CodeGradient(WorkerPool pool, SparseCode code, Matrix grad_BE, Matrix wDec_LE, Matrix scale_L, float penalty)
    {
        fixed (int* offsets = code.ModelOffsets)
        {
            Job job = Prepare(code, wDec_LE, offsets);
            job.Rows = grad_BE.Floats;
            job.RowStride = grad_BE.Stride;
            job.Scale = scale_L.Floats;
            job.Penalty = penalty;
            pool.Run((code.Latents + LatentsPerTask - 1) / LatentsPerTask, &Dots, &job);
        }
    }

    /// <summary>sum += Σ_i values[i] · table[rows[i]] over the columns of the models in which pair i is active, of the columns from <paramref name="from"/> on that <paramref name="sum"/> stands for.</summary>
    public static void Add(int count, int* rows, float* values, int* active, float* table, nint stride, int* offsets, int models, int from, int columns, float* sum)
    {
        int* someRows = stackalloc int[Piece];
        float* someValues = stackalloc float[Piece];
        for (int m = 0; m < models; m++)
        {
            int first = Math.Max(offsets[m], from), width = Math.Min(offsets[m + 1], from + columns) - first;
            int some = 0;
            for (int i = 0; i < count && width > 0; i++)
            {
                if ((active[i] >> m & 1) != 0)
                {
                    someRows[some] = rows[i];
                    someValues[some++] = values[i];
                }

                if (some == Piece || (i == count - 1 && some > 0))
                {
                    RowSums.Add(some, someRows, someValues, table + first, stride, width, sum + first - from);
                    some = 0;
                }
            }
        }
    }

    /// <summary>The union of the models' codes, latent-major: each list ascends by token.</summary>
    void Merge(SparseCode code)
    {
        int models = _codes.Length;
        int* start = code.LatentStart.Ints, token = code.PairToken.Ints, active = code.PairModels!.Ints;
        float* value = code.PairValue.Floats;
        Span<int> next = stackalloc int[models];
        int count = 0;
        for (int j = 0; j < code.Latents; j++)
        {
            start[j] = count;
            for (int m = 0; m < models; m++)
            {
                next[m] = _codes[m].LatentStart.Ints[j];
            }

            while (true)
            {
                int least = int.MaxValue;
                for (int m = 0; m < models; m++)
                {
                    least = next[m] < _codes[m].LatentStart.Ints[j + 1] ? Math.Min(least, _codes[m].PairToken.Ints[next[m]]) : least;
                }

                if (least == int.MaxValue)
                {
                    break;
                }

                token[count] = least;
                active[count] = 0;
                for (int m = 0; m < models; m++)
                {
                    if (next[m] < _codes[m].LatentStart.Ints[j + 1] && _codes[m].PairToken.Ints[next[m]] == least)
                    {
                        active[count] |= 1 << m;
                        value[count] = _codes[m].PairValue.Floats[next[m]++];
                    }
                }

                count++;
            }
        }

        start[code.Latents] = count;
        code.Pairs = count;
    }

    static Job Prepare(SparseCode code, Matrix w_LE, int* offsets) => new()
    {
        Latents = code.Latents,
        LatentStart = code.LatentStart.Ints,
        Token = code.PairToken.Ints,
        Gradient = code.PairGradient.Floats,
        Active = code.PairModels!.Ints,
        Offsets = offsets,
        W = w_LE.Floats,
        WStride = w_LE.Stride,
    };

    static void Dots(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Latents, (task + 1) * LatentsPerTask);
        for (int j = task * LatentsPerTask; j < end; j++)
        {
            float* w = job->W + j * job->WStride;
            float penalty = job->Penalty * job->Scale[j];
            for (int i = job->LatentStart[j]; i < job->LatentStart[j + 1]; i++)
            {
                float* grad = job->Rows + job->Token[i] * job->RowStride;
                float sum = penalty;
                for (int rest = job->Active[i]; rest != 0; rest &= rest - 1)
                {
                    int first = job->Offsets[BitOperations.TrailingZeroCount(rest)];
                    sum += RowSums.Dot(grad + first, w + first, job->Offsets[BitOperations.TrailingZeroCount(rest) + 1] - first);
                }

                job->Gradient[i] = sum;
            }
        }
    }

    struct Job
    {
        public int Latents;
        public int* LatentStart;
        public int* Token;
        public float* Gradient;
        public int* Active;
        public int* Offsets;
        public float* W;
        public nint WStride;
        public float* Rows;
        public nint RowStride;
        public float* Scale;
        public float Penalty;
    }
}
