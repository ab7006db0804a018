"""`audit`: do a study's database, Ray's files, TensorBoard's files and the checkpoints agree?"""
