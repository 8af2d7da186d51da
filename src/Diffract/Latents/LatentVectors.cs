using Diffract.Compute.Buffers;

namespace Diffract.Latents;

/// <summary>
/// One latent's vectors in the two models, from the weights alone, in double. Delta-norm = ½((‖chat‖ - ‖base‖)/max + 1), 1 = chat-only, NaN when both are 0;
/// published tables hold its complement. Cosine as torch has it: norms below 1e-8 count as 1e-8.
/// </summary>
/// <param name="BaseNorm">‖base‖₂.</param>
/// <param name="ChatNorm">‖chat‖₂.</param>
/// <param name="Delta">Delta-norm.</param>
/// <param name="Cosine">Cosine of the angle between the two; NaN where the widths differ.</param>
public readonly record struct LatentVectors(double BaseNorm, double ChatNorm, double Delta, double Cosine)
{
    const double SmallestNorm = 1e-8;

    /// <param name="w_LE">[L, E]: decoder rows or encoder rows.</param>
    /// <param name="modelOffsets">[3]: base and chat columns.</param>
    /// <param name="latent">Which row.</param>
    public static LatentVectors Of(Matrix w_LE, ReadOnlySpan<int> modelOffsets, int latent)
    {
        ReadOnlySpan<float> row_E = w_LE.Row(latent);
        ReadOnlySpan<float> ofBase = row_E[modelOffsets[0]..modelOffsets[1]], ofChat = row_E[modelOffsets[1]..modelOffsets[2]];
        double baseNorm = Math.Sqrt(Dot(ofBase, ofBase)), chatNorm = Math.Sqrt(Dot(ofChat, ofChat));
        double delta = 0.5 * ((chatNorm - baseNorm) / Math.Max(baseNorm, chatNorm) + 1);
        double cosine = ofBase.Length == ofChat.Length
            ? Dot(ofBase, ofChat) / (Math.Max(baseNorm, SmallestNorm) * Math.Max(chatNorm, SmallestNorm))
            : double.NaN;
        return new LatentVectors(baseNorm, chatNorm, delta, cosine);
    }

    /// <summary>⟨a, b⟩ in double.</summary>
    public static double Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++)
        {
            sum += (double)a[i] * b[i];
        }

        return sum;
    }
}
