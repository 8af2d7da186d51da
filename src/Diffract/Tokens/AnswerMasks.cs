namespace Diffract.Tokens;

/// <summary>
/// Which positions of a chat predict the assistant's tokens (spec 7.1). A position t is in <see cref="All"/> when token t + 1 is the assistant's; <see cref="KFirst"/> holds the first k of each run of
/// those, without template tokens (the first is the header's newline, so k = 10 leaves nine: the "first nine tokens"); <see cref="PostKFirst"/> is the rest of <see cref="All"/>, that newline included.
/// </summary>
public sealed class AnswerMasks
{
    /// <summary>Length of a run's beginning, template token included.</summary>
    public const int DefaultK = 10;

    AnswerMasks(int tokens) => (All, KFirst, PostKFirst, Template) = (new bool[tokens], new bool[tokens], new bool[tokens], new bool[tokens]);

    public bool[] All { get; }

    public bool[] KFirst { get; }

    public bool[] PostKFirst { get; }

    /// <summary>Template tokens, an answer's end-of-turn mark included; BOS is none.</summary>
    public bool[] Template { get; }

    /// <param name="roles">Role flags of a chat's tokens.</param>
    /// <param name="k">How many positions of each run count as its beginning.</param>
    public static AnswerMasks Of(ReadOnlySpan<byte> roles, int k = DefaultK)
    {
        AnswerMasks masks = new(roles.Length);
        int run = 0;
        for (int t = 0; t < roles.Length; t++)
        {
            masks.Template[t] = (roles[t] & (byte)TokenRole.Template) != 0;
            masks.All[t] = t + 1 < roles.Length && (roles[t + 1] & (byte)TokenRole.Assistant) != 0;
            run = masks.All[t] ? run + 1 : 0;
            masks.KFirst[t] = masks.All[t] && run <= k && !masks.Template[t];
            masks.PostKFirst[t] = masks.All[t] && !masks.KFirst[t];
        }

        return masks;
    }
}
