using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Diffract.Cpu.Matmul;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// The same block of latents by all tokens as <see cref="EncodeTiles"/>, in 16-bit integers: with x·sx = x̂ + r and w·sw = ŵ + t (<see cref="Int16Row"/>) it is
/// sx·sw·⟨x, w⟩ = ⟨x̂, ŵ⟩ + ⟨x̂, t⟩ + ⟨r, ŵ + t⟩, so the exact integer sum is off by at most ‖x̂‖‖t‖ + ‖r‖(‖ŵ‖ + ‖t‖). The float32 chain that decides is itself off by
/// at most γ(‖x‖‖w‖ + |bias|), γ = (E + 2)·2⁻²⁴ / (1 - (E + 2)·2⁻²⁴), and E·2⁻¹⁴⁹ where numbers are denormal. Every pair whose float32 score can reach the floor is
/// kept, with bounds on its p; <see cref="Rescore"/> then computes the p of those that matter, with the bits of the float32 tile.
/// </summary>
static unsafe class EncodeScreen
{
    /// <summary>Task body: packs a panel of tokens.</summary>
    public static void Pack(void* state, int panel, int worker)
    {
        EncodeJob* job = (EncodeJob*)state;
        ScreenJob* screen = job->Screen;
        int first = panel * screen->Columns;
        int tokens = Math.Min(screen->Columns, job->Tokens - first);
        int* rows = screen->TokenRows + (nint)worker * screen->Columns * screen->Pairs;
        for (int b = 0; b < screen->Columns; b++)
        {
            Int16Row row = default;
            if (b < tokens && !Int16Row.TryMake(job->Acts + (first + b) * job->ActsStride, job->Depth, (short*)(rows + (nint)b * screen->Pairs), out row))
            {
                screen->Workers[worker].NotFinite = 1;
            }

            screen->TokenScale[first + b] = b < tokens ? row.Scale : 1;
            screen->TokenNorm[first + b] = row.Norm;
            screen->TokenResidual[first + b] = row.Residual;
            if (b < tokens)
            {
                double norm = ((double)row.Norm + row.Residual) / row.Scale;
                screen->Workers[worker].TokenNorm = Math.Max(screen->Workers[worker].TokenNorm, norm);
            }
        }

        // A pair of 16-bit numbers moves like one float.
        MatmulPanels.FromRows((float*)rows, screen->Pairs, tokens, screen->Pairs, screen->Columns, (float*)screen->Panels + (nint)panel * screen->Columns * screen->Pairs);
    }

    /// <summary>Task body: block <c>task·stride</c>.</summary>
    public static void Run<T>(void* state, int task, int worker)
        where T : ITileI16
    {
        EncodeJob* job = (EncodeJob*)state;
        ScreenJob* screen = job->Screen;
        int block = task * job->Stride;
        int first = block * EncodeJob.BlockLatents;
        int latents = Math.Min(EncodeJob.BlockLatents, job->Latents - first);
        int pairs = screen->Pairs;
        int* tile = (int*)job->Tile + (nint)worker * 2 * EncodeJob.BlockLatents * T.Columns;
        int* rows = screen->LatentRows + (nint)worker * EncodeJob.BlockLatents * pairs;
        int* counts = stackalloc int[EncodeJob.BlockLatents];
        Line* lines = stackalloc Line[EncodeJob.BlockLatents];
        for (int j = 0; j < latents; j++)
        {
            counts[j] = 0;
            lines[j] = Line.Of(job, first + j, rows + (nint)j * pairs, screen->Workers + worker);
        }

        for (int p = 0; p < job->PanelCount; p++)
        {
            int* panel = screen->Panels + (nint)p * T.Columns * pairs;
            for (int k = 0; k < pairs; k += T.Depth)
            {
                int depth = Math.Min(T.Depth, pairs - k);
                for (int j = 0; j < latents; j += T.Rows)
                {
                    T.Run(depth, rows + (nint)j * pairs + k, pairs, Math.Min(T.Rows, latents - j), panel + (nint)k * T.Columns, tile + j * T.Columns, T.Columns, k > 0);
                }
            }

            int token = p * T.Columns;
            for (int c = 0; c < T.Columns && token + c < job->Tokens; c += 8)
            {
                uint real = job->Tokens - token - c < 8 ? (1u << (job->Tokens - token - c)) - 1 : 255;
                Scan(job, worker, tile + c, T.Columns, latents, lines, token + c, real, counts);
            }
        }

        EncodeTiles.Empty(job, block, worker, counts, latents);
    }

    /// <summary>Keeps those of eight tokens whose score may reach the latent's floor: sum ≥ sx·C - ‖x̂‖·D - ‖r‖·F.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Scan(EncodeJob* job, int worker, int* sums, nint columns, int latents, Line* lines, int token, uint real, int* counts)
    {
        ScreenJob* screen = job->Screen;
        Vector256<float> scale = Vector256.Load(screen->TokenScale + token);
        Vector256<float> norm = Vector256.Load(screen->TokenNorm + token);
        Vector256<float> residual = Vector256.Load(screen->TokenResidual + token);
        for (int j = 0; j < latents; j++, sums += columns)
        {
            Vector256<float> sum = Vector256.ConvertToSingle(Vector256.Load(sums));
            sum = Vector256.FusedMultiplyAdd(norm, Vector256.Create(lines[j].PerNorm), sum);
            sum = Vector256.FusedMultiplyAdd(residual, Vector256.Create(lines[j].PerResidual), sum);
            uint hits = Vector256.GreaterThanOrEqual(sum, scale * Vector256.Create(lines[j].Floor)).ExtractMostSignificantBits() & real;
            while (hits != 0)
            {
                int c = BitOperations.TrailingZeroCount(hits);
                Keep(job, worker, lines + j, (nint)j * job->BinRoom + counts[j]++, token + c, sums[c]);
                hits &= hits - 1;
            }
        }
    }

    /// <summary>Notes a pair with the bounds of its p.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    static void Keep(EncodeJob* job, int worker, Line* line, nint place, int token, int sum)
    {
        ScreenJob* screen = job->Screen;
        place += (nint)worker * EncodeJob.BlockLatents * job->BinRoom;
        double unit = line->Unit / screen->TokenScale[token];
        double middle = (sum * unit) + line->Bias;
        double reach = ((screen->TokenNorm[token] * (double)line->PerNorm) + (screen->TokenResidual[token] * (double)line->PerResidual)) * unit;
        // Doubles are rounded too; far less than this.
        reach += line->BiasSlack + Math.Abs(middle) * 1e-12;
        float low = MathF.Max(0, MathF.BitDecrement((float)(middle - reach)));
        job->BinTokens[place] = token;
        job->BinValues[place] = low;
        screen->BinHighs[place] = MathF.BitIncrement((float)(middle + reach));
        screen->Workers[worker].Sure += low * line->Scale >= line->Least ? 1 : 0;
    }

    /// <summary>What the scan needs of a latent.</summary>
    struct Line
    {
        /// <summary>C: what a sum must reach, per unit of the token's scale; rounded down.</summary>
        public float Floor;

        /// <summary>D: how far a sum may be off, per ‖x̂‖; rounded up, and enough besides for the float32 arithmetic of the scan.</summary>
        public float PerNorm;

        /// <summary>F: the same per ‖r‖.</summary>
        public float PerResidual;

        /// <summary>The floor itself, in units of p·<see cref="Scale"/>.</summary>
        public float Least;
        public float Scale;

        /// <summary>1/sw.</summary>
        public double Unit;
        public double Bias;

        /// <summary>What the float32 chain may be off by because of the bias and of denormal numbers.</summary>
        public double BiasSlack;

        /// <summary>Quantises the row of a latent.</summary>
        public static Line Of(EncodeJob* job, int latent, int* target, ScreenWorker* worker)
        {
            Line line = default;
            float bias = job->Bias[latent];
            line.Bias = bias;
            line.Scale = job->Scale[latent];
            line.Least = job->FloorOf(latent);
            if (!Int16Row.TryMake(job->W + latent * job->WStride, job->Depth, (short*)target, out Int16Row row) || !float.IsFinite(bias) || !float.IsFinite(line.Scale))
            {
                // The call is answered in float32; until then nothing passes.
                worker->NotFinite = 1;
                line.Floor = float.MaxValue;
                new Span<int>(target, job->Screen->Pairs).Clear();
                return line;
            }

            double gamma = (job->Depth + 2) * 5.9604644775390625e-8;
            gamma /= 1 - gamma;
            line.Unit = 1 / (double)row.Scale;
            line.BiasSlack = gamma * Math.Abs(line.Bias) + (job->Depth + 2) * 1.4e-45;
            double norm = (double)row.Norm + row.Residual;
            // p·s, rounded, reaches the floor only if p reaches this.
            double least = ((line.Least * (1 - 1.2e-7)) - 1.5e-45) / line.Scale;
            double floor = row.Scale * (least - line.Bias - line.BiasSlack);
            line.Floor = (float)Math.Min(float.MaxValue, floor - Math.Abs(floor) * 2.4e-7);
            line.PerNorm = (float)((row.Residual + (gamma + 4.8e-7) * norm) * (1 + 1e-6));
            line.PerResidual = (float)(norm * (1 + gamma) * (1 + 1e-6));
            worker->LatentNorm = Math.Max(worker->LatentNorm, norm / row.Scale);
            worker->Bias = Math.Max(worker->Bias, Math.Abs(line.Bias));
            return line;
        }
    }
}
