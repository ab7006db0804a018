"""What a paper that reports a study ought to cite."""

from __future__ import annotations

from collections.abc import Sequence

ENTRIES = {
    "wang2018parameter": """@article{wang2018parameter,
  title   = {Parameter-Free Spatial Attention Network for Person Re-Identification},
  author  = {Wang, Haoran and Fan, Yue and Wang, Zexin and Jiao, Licheng and Schiele, Bernt},
  journal = {arXiv preprint arXiv:1811.12150},
  year    = {2018}
}""",
    "zheng2015scalable": """@inproceedings{zheng2015scalable,
  title     = {Scalable Person Re-identification: A Benchmark},
  author    = {Zheng, Liang and Shen, Liyue and Tian, Lu and Wang, Shengjin and Wang, Jingdong and Tian, Qi},
  booktitle = {IEEE International Conference on Computer Vision (ICCV)},
  pages     = {1116--1124},
  year      = {2015}
}""",
    "he2016deep": """@inproceedings{he2016deep,
  title     = {Deep Residual Learning for Image Recognition},
  author    = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {770--778},
  year      = {2016}
}""",
    "akiba2019optuna": """@inproceedings{akiba2019optuna,
  title     = {Optuna: A Next-generation Hyperparameter Optimization Framework},
  author    = {Akiba, Takuya and Sano, Shotaro and Yanase, Toshihiko and Ohta, Takeru and Koyama, Masanori},
  booktitle = {ACM SIGKDD International Conference on Knowledge Discovery and Data Mining (KDD)},
  pages     = {2623--2631},
  year      = {2019}
}""",
    "liaw2018tune": """@article{liaw2018tune,
  title   = {Tune: A Research Platform for Distributed Model Selection and Training},
  author  = {Liaw, Richard and Liang, Eric and Nishihara, Robert and Moritz, Philipp and
             Gonzalez, Joseph E. and Stoica, Ion},
  journal = {arXiv preprint arXiv:1807.05118},
  year    = {2018}
}""",
    "bergstra2011algorithms": """@inproceedings{bergstra2011algorithms,
  title     = {Algorithms for Hyper-Parameter Optimization},
  author    = {Bergstra, James and Bardenet, R{\\'e}mi and Bengio, Yoshua and K{\\'e}gl, Bal{\\'a}zs},
  booktitle = {Advances in Neural Information Processing Systems (NIPS)},
  volume    = {24},
  year      = {2011}
}""",
    "hansen2016cma": """@article{hansen2016cma,
  title   = {The {CMA} Evolution Strategy: A Tutorial},
  author  = {Hansen, Nikolaus},
  journal = {arXiv preprint arXiv:1604.00772},
  year    = {2016}
}""",
    "li2020system": """@inproceedings{li2020system,
  title     = {A System for Massively Parallel Hyperparameter Tuning},
  author    = {Li, Liam and Jamieson, Kevin and Rostamizadeh, Afshin and Gonina, Ekaterina and
               Ben-Tzur, Jonathan and Hardt, Moritz and Recht, Benjamin and Talwalkar, Ameet},
  booktitle = {Proceedings of Machine Learning and Systems (MLSys)},
  volume    = {2},
  pages     = {230--246},
  year      = {2020}
}""",
    "li2018hyperband": """@article{li2018hyperband,
  title   = {Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization},
  author  = {Li, Lisha and Jamieson, Kevin and DeSalvo, Giulia and Rostamizadeh, Afshin and
             Talwalkar, Ameet},
  journal = {Journal of Machine Learning Research},
  volume  = {18},
  number  = {185},
  pages   = {1--52},
  year    = {2018}
}""",
    "golovin2017vizier": """@inproceedings{golovin2017vizier,
  title     = {Google Vizier: A Service for Black-Box Optimization},
  author    = {Golovin, Daniel and Solnik, Benjamin and Moitra, Subhodeep and Kochanski, Greg and
               Karro, John and Sculley, D.},
  booktitle = {ACM SIGKDD International Conference on Knowledge Discovery and Data Mining (KDD)},
  pages     = {1487--1495},
  year      = {2017}
}""",
    "zhong2017reranking": """@inproceedings{zhong2017reranking,
  title     = {Re-ranking Person Re-identification with k-Reciprocal Encoding},
  author    = {Zhong, Zhun and Zheng, Liang and Cao, Donglin and Li, Shaozi},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {1318--1327},
  year      = {2017}
}""",
    "zhong2020random": """@inproceedings{zhong2020random,
  title     = {Random Erasing Data Augmentation},
  author    = {Zhong, Zhun and Zheng, Liang and Kang, Guoliang and Li, Shaozi and Yang, Yi},
  booktitle = {AAAI Conference on Artificial Intelligence},
  volume    = {34},
  pages     = {13001--13008},
  year      = {2020}
}""",
}
"""BibTeX by key."""


def bibtex(used: Sequence[str]) -> str:
    """The entries of these keys, as a BibTeX file."""
    return "\n\n".join(ENTRIES[key] for key in used) + "\n"
