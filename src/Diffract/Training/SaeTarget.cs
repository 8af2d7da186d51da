using Diffract.Compute.Buffers;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Training;

/// <summary>What an SAE is trained on in a run of two models, and which text it takes it from (spec 3.6).</summary>
public enum SaeTarget
{
    /// <summary>Activations of the base model, of documents.</summary>
    Base,

    /// <summary>Activations of the chat model, of chats.</summary>
    Chat,

    /// <summary>Base minus chat, of chats.</summary>
    DifferenceBc,

    /// <summary>Chat minus base, of chats.</summary>
    DifferenceCb,
}

/// <summary>Names and text of the targets.</summary>
public static class SaeTargets
{
    public static IReadOnlyList<string> Names { get; } = ["base", "chat", "difference_bc", "difference_cb"];

    public static string Name(SaeTarget target) => Names[(int)target];

    /// <exception cref="DiffractException">No target of that name.</exception>
    public static SaeTarget Of(string name)
        => Names.ToList().IndexOf(name) is >= 0 and int i ? (SaeTarget)i : throw DiffractException.Argument($"--target {name} is unknown; wanted one of {string.Join(", ", Names)}");

    /// <summary>The text that a target is taken from.</summary>
    public static TextSource Text(SaeTarget target) => target == SaeTarget.Base ? TextSource.Document : TextSource.Chat;

    /// <summary>What a target takes out of paired activations.</summary>
    /// <param name="pairs_BE">[B, E]: base, then chat.</param>
    /// <param name="split">Where the chat model's columns begin.</param>
    /// <param name="target">What to take.</param>
    /// <param name="acts_BD">Written, [B, D].</param>
    public static void Take(Matrix pairs_BE, int split, SaeTarget target, Matrix acts_BD)
    {
        for (int b = 0; b < acts_BD.Rows; b++)
        {
            ReadOnlySpan<float> ofBase = pairs_BE.Row(b)[..split], ofChat = pairs_BE.Row(b)[split..];
            Span<float> row = acts_BD.Row(b);
            switch (target)
            {
                case SaeTarget.Base:
                    ofBase.CopyTo(row);
                    break;
                case SaeTarget.Chat:
                    ofChat.CopyTo(row);
                    break;
                case SaeTarget.DifferenceBc:
                    Subtract(ofBase, ofChat, row);
                    break;
                default:
                    Subtract(ofChat, ofBase, row);
                    break;
            }
        }
    }

    static void Subtract(ReadOnlySpan<float> from, ReadOnlySpan<float> what, Span<float> to)
    {
        for (int d = 0; d < to.Length; d++)
        {
            to[d] = from[d] - what[d];
        }
    }
}
