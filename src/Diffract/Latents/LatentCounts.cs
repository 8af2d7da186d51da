using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Tokens;

namespace Diffract.Latents;

/// <summary>
/// What a pass over tokens counts for each latent: tokens on which it is active, by role, with the sum and the maximum of its scaled activation f·s. Sums in double, in token order.
/// </summary>
public sealed class LatentCounts
{
    static readonly TokenRole[] Roles = [TokenRole.Bos, TokenRole.Template, TokenRole.User, TokenRole.Assistant, TokenRole.Plain, TokenRole.System];
    readonly long[] _tokensByRole = new long[Roles.Length];
    readonly long[] _activeByRole_LR;
    readonly long[] _active_L;
    readonly double[] _sum_L;
    readonly float[] _max_L;

    public LatentCounts(int latents)
    {
        _activeByRole_LR = new long[latents * Roles.Length];
        _active_L = new long[latents];
        _sum_L = new double[latents];
        _max_L = new float[latents];
    }

    /// <summary>Tokens counted.</summary>
    public long Tokens { get; private set; }

    /// <summary>Active (token, latent) pairs counted.</summary>
    public long Pairs { get; private set; }

    /// <summary>Tokens on which the latent is active.</summary>
    public long Active(int latent) => _active_L[latent];

    /// <summary>Adds a batch.</summary>
    /// <param name="code">Unscaled code.</param>
    /// <param name="scale_L">[1, L]: s.</param>
    /// <param name="roles_B">Role flags of each token of the batch.</param>
    public unsafe void Add(SparseCode code, Matrix scale_L, ReadOnlySpan<byte> roles_B)
    {
        Tokens += code.Tokens;
        Pairs += code.Pairs;
        for (int b = 0; b < code.Tokens; b++)
        {
            for (int r = 0; r < Roles.Length; r++)
            {
                _tokensByRole[r] += (roles_B[b] & (byte)Roles[r]) != 0 ? 1 : 0;
            }
        }

        int* start = code.LatentStart.Ints, token = code.PairToken.Ints;
        float* value = code.PairValue.Floats;
        ReadOnlySpan<float> scale = scale_L.Row(0);
        for (int j = 0; j < _active_L.Length; j++)
        {
            _active_L[j] += start[j + 1] - start[j];
            Span<long> byRole = _activeByRole_LR.AsSpan(j * Roles.Length, Roles.Length);
            for (int pair = start[j]; pair < start[j + 1]; pair++)
            {
                float scaled = value[pair] * scale[j];
                _sum_L[j] += scaled;
                _max_L[j] = Math.Max(_max_L[j], scaled);
                int role = roles_B[token[pair]];
                for (int r = 0; r < Roles.Length; r++)
                {
                    byRole[r] += (role & (int)Roles[r]) != 0 ? 1 : 0;
                }
            }
        }
    }

    /// <summary>The row of a latent, joined with what its weights say.</summary>
    public LatentRow Row(int latent, LatentVectors decoder, LatentVectors encoder)
    {
        long active = _active_L[latent];
        return new LatentRow(
            latent, decoder.BaseNorm, decoder.ChatNorm, decoder.Delta, decoder.Cosine, encoder.BaseNorm, encoder.ChatNorm, encoder.Delta, encoder.Cosine,
            LatentClasses.Of(decoder.Delta), active, (double)active / Tokens,
            new RoleRates(Rate(latent, 0), Rate(latent, 1), Rate(latent, 2), Rate(latent, 3), Rate(latent, 4)) { System = Rate(latent, 5) },
            _max_L[latent], _sum_L[latent] / active, RolesKnown ? (double)_activeByRole_LR[latent * Roles.Length + 1] / active : double.NaN, active < LatentClasses.DeadBelow);
    }

    /// <summary>Whether anybody has said what any token is, BOS aside.</summary>
    bool RolesKnown => _tokensByRole.AsSpan(1).ContainsAnyExcept(0L);

    double Rate(int latent, int role) => (double)_activeByRole_LR[latent * Roles.Length + role] / _tokensByRole[role];
}
