using System.Text.Json.Nodes;

namespace Diffract.Evidence;

/// <summary>Mean and population variance of KL and NLL over all positions, by edit and subset.</summary>
/// <param name="edits">In the order of the effects.</param>
public sealed class EffectMoments(IReadOnlyList<Edit> edits)
{
    readonly PositionMoments[] _kl = new PositionMoments[edits.Count * 3], _nll = new PositionMoments[edits.Count * 3];

    public void Add(ChatEffects effects)
    {
        for (int s = 0; s < Subset.Names.Count; s++)
        {
            bool[] subset = Subset.Of(Subset.Names[s], effects.Chat.Masks);
            for (int e = 0; e < edits.Count; e++)
            {
                for (int i = 0; i < effects.Positions.Length; i++)
                {
                    if (subset[effects.Positions[i]])
                    {
                        _kl[(e * 3) + s].Add(effects.Kl[e][i]);
                        if (!double.IsNaN(effects.Nll[e][i]))
                        {
                            _nll[(e * 3) + s].Add(effects.Nll[e][i]);
                        }
                    }
                }
            }
        }
    }

    /// <summary>Mean KL of an edit over <see cref="Subset.All"/>.</summary>
    public double Mean(string edit) => _kl[edits.TakeWhile(e => e.Name != edit).Count() * 3].Mean;

    /// <summary>edit → subset → kl, nll → mean, variance, count.</summary>
    public JsonObject ToJson()
    {
        JsonObject result = [];
        for (int e = 0; e < edits.Count; e++)
        {
            JsonObject bySubset = [];
            for (int s = 0; s < Subset.Names.Count; s++)
            {
                bySubset[Subset.Names[s]] = new JsonObject { ["kl"] = Numbers(_kl[(e * 3) + s]), ["nll"] = Numbers(_nll[(e * 3) + s]) };
            }

            result[edits[e].Name] = bySubset;
        }

        return result;
    }

    // JSON has no NaN: an empty subset has a count of 0 and null for both numbers.
    static JsonObject Numbers(PositionMoments m)
        => new() { ["mean"] = m.Count > 0 ? m.Mean : null, ["variance"] = m.Count > 0 ? m.Variance : null, ["count"] = m.Count };
}
