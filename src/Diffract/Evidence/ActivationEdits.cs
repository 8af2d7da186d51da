using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Evidence;

/// <summary>
/// Makes the edited activations of a batch from both models' own ones. The pair is encoded once; each latent set costs one sparse sum of decoder rows, from which replace and add both follow.
/// </summary>
public sealed class ActivationEdits : IDisposable
{
    const int Everything = -1, Nothing = -2;

    readonly Crosscoder _crosscoder;
    readonly bool[][] _keep;
    readonly SparseCode _code, _masked;
    readonly Matrix _recon_BE;
    readonly int _width;
    Matrix _pair_BE;
    int _decoded = Nothing;

    /// <param name="crosscoder">Two models of the same width.</param>
    /// <param name="sets">Latent indices of each set.</param>
    /// <param name="maxTokens">Most tokens of a batch.</param>
    public ActivationEdits(Crosscoder crosscoder, IReadOnlyList<int[]> sets, int maxTokens)
    {
        DictionaryForm.Require(crosscoder, "the crosscoder", "an intervention");
        int[] offsets = crosscoder.ModelOffsets;
        if (crosscoder.Models != 2 || offsets[1] != offsets[2] - offsets[1])
        {
            throw new DiffractException($"the crosscoder reads {crosscoder.Models} models, {crosscoder.E} wide in all; interventions want a base and a chat model of the same width");
        }

        _crosscoder = crosscoder;
        _width = offsets[1];
        _keep = [.. sets.Select(s => Mask(s, crosscoder.Latents))];
        _code = crosscoder.NewCode(maxTokens);
        _masked = crosscoder.NewCode(maxTokens);
        _recon_BE = crosscoder.Backend.Matrix(maxTokens, crosscoder.E);
    }

    /// <summary>The inference code of the last batch, unscaled.</summary>
    public SparseCode Code => _code;

    /// <summary>Encodes a batch; <paramref name="pair_BE"/> is read again by <see cref="Apply"/>.</summary>
    public void Encode(Matrix pair_BE)
    {
        _pair_BE = pair_BE;
        _crosscoder.Encode(pair_BE, _code);
        _decoded = Nothing;
    }

    /// <summary>Writes what <paramref name="edit"/> feeds into the chat model.</summary>
    /// <param name="edit">Any form but <see cref="EditForm.BaseModel"/>.</param>
    /// <param name="template_B">Whether each token was written by the chat template.</param>
    /// <param name="edited_BD">Written.</param>
    public void Apply(Edit edit, ReadOnlySpan<bool> template_B, Matrix edited_BD)
    {
        if (edit.Form is EditForm.All or EditForm.Error)
        {
            Decode(Everything);
        }
        else if (edit.Form is EditForm.Replace or EditForm.Add)
        {
            Decode(edit.Set);
        }

        for (int t = 0; t < _pair_BE.Rows; t++)
        {
            ReadOnlySpan<float> pair = _pair_BE.Row(t), recon = _recon_BE.Row(t);
            ReadOnlySpan<float> fromBase = pair[.._width], fromChat = pair[_width..], ofBase = recon[.._width], ofChat = recon[_width..];
            Span<float> edited = edited_BD.Row(t);
            switch (edit.Form)
            {
                case EditForm.None:
                    fromBase.CopyTo(edited);
                    break;
                case EditForm.Template:
                    (template_B[t] ? fromChat : fromBase).CopyTo(edited);
                    break;
                case EditForm.All or EditForm.Replace:
                    Shift(fromBase, ofChat, ofBase, edited);
                    break;
                case EditForm.Error:
                    Shift(fromChat, ofBase, ofChat, edited);
                    break;
                case EditForm.Add:
                    Add(fromBase, ofChat, edited);
                    break;
                default:
                    throw new ArgumentOutOfRangeException(nameof(edit), edit.Form, "the base model's own logits need no edit");
            }
        }
    }

    public void Dispose()
    {
        _code.Dispose();
        _masked.Dispose();
        _recon_BE.Buffer.Dispose();
    }

    static bool[] Mask(int[] set, int latents)
    {
        bool[] keep = new bool[latents];
        foreach (int latent in set)
        {
            if ((uint)latent >= (uint)latents)
            {
                throw DiffractException.Argument($"latent {latent} does not exist; the crosscoder has latents 0 to {latents - 1}");
            }

            keep[latent] = true;
        }

        return keep;
    }

    void Decode(int set)
    {
        if (_decoded == set)
        {
            return;
        }

        SparseCode code = _code;
        if (set != Everything)
        {
            MaskedCode.Keep(_code, _keep[set], _masked);
            code = _masked;
        }

        _crosscoder.DecodeLatents(code, _recon_BE.SliceRows(0, _pair_BE.Rows));
        _decoded = set;
    }

    static void Shift(ReadOnlySpan<float> from, ReadOnlySpan<float> plus, ReadOnlySpan<float> minus, Span<float> to)
    {
        for (int i = 0; i < to.Length; i++)
        {
            to[i] = from[i] + (plus[i] - minus[i]);
        }
    }

    static void Add(ReadOnlySpan<float> from, ReadOnlySpan<float> plus, Span<float> to)
    {
        for (int i = 0; i < to.Length; i++)
        {
            to[i] = from[i] + plus[i];
        }
    }
}
